#include "config/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/python_text.h"
#include "config/setting.h"
#include "config/words.h"

namespace tricorn::config {
namespace {

// The first lines of --help, and of every usage error.
constexpr std::string_view kUsage = "usage: tricorn [OPTIONS] [APP_MODULE]\n";

bool takes_value(const Setting* setting) {
  return setting != nullptr && setting->kind != Kind::Flag && setting->kind != Kind::FlagOff;
}

// How argparse names an option in errors: "-w/--workers".
std::string named(const Option& option) {
  if (option.setting == nullptr) return option.flag.ends_with('v') ? "-v/--version" : "-h/--help";
  std::string text(option.setting->flags);
  std::replace(text.begin(), text.end(), ' ', '/');
  return text;
}

// Gunicorn's reading of a mode: 0NNN is octal, all else as in Python.
std::optional<std::int64_t> mode_from(std::string_view text) {
  const bool octal = text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
  return python_int(text, octal ? 8 : 0);
}

base::Result<Layer> typed(const Option& option, std::string_view text) {
  const Kind kind = option.setting->kind;
  const bool mode = kind == Kind::Mode;
  const bool number = kind == Kind::Count || kind == Kind::Large || kind == Kind::Seconds;
  if (!mode && !number) return Layer(text);
  if (const auto value = mode ? mode_from(text) : python_int(text, 10)) return Layer(*value);
  return base::fail(fmt::format("argument {}: invalid {} value: {}", named(option),
                                mode ? "auto_int" : "int", python_quoted(text)));
}

// Acts on classified words, from left to right.
class Reader {
 public:
  explicit Reader(std::vector<Word> words) : words_(std::move(words)) {}

  base::Result<Invocation> read() {
    while (at_ < words_.size() && result_.action == Invocation::Action::Serve) {
      const Word& word = words_[at_];
      if (word.role == Word::Role::Option) {
        ++at_;
        if (auto done = option(*word.option, word.attached); !done)
          return base::Unexpected{done.error()};
      } else if (word.role == Word::Role::Unknown) {
        unrecognized_.emplace_back(word.text);
        ++at_;
      } else {
        positionals();
      }
    }
    if (result_.action == Invocation::Action::Serve && !unrecognized_.empty()) {
      return base::fail(fmt::format("unrecognized arguments: {}", fmt::join(unrecognized_, " ")));
    }
    if (!positionals_.empty()) {
      result_.app = positionals_.front();
      result_.ignored.assign(positionals_.begin() + 1, positionals_.end());
    }
    result_.values_json = values_.dump();
    return result_;
  }

 private:
  // argparse takes the first unbroken run of positionals; what stands apart from it is an error.
  void positionals() {
    const std::size_t first = at_;
    while (at_ < words_.size() && is_positional(words_[at_].role)) ++at_;
    for (const Word& word : std::span(words_).subspan(first, at_ - first)) {
      if (had_positionals_) {
        unrecognized_.emplace_back(word.text);
      } else if (word.role == Word::Role::Value) {
        positionals_.emplace_back(word.text);
      }
    }
    had_positionals_ = true;
  }

  static bool is_positional(Word::Role role) {
    return role == Word::Role::Value || role == Word::Role::Separator;
  }

  base::Result<void> option(const Option& option, std::optional<std::string_view> attached) {
    if (!takes_value(option.setting)) return switched(option, attached);
    if (attached) return set(option, *attached);
    if (at_ < words_.size() && words_[at_].role == Word::Role::Value)
      return set(option, words_[at_++].text);
    // The only option whose value may be missing.
    if (option.setting->check == Check::ProxyProtocol) return set(option, "auto");
    return base::fail(fmt::format("argument {}: expected one argument", named(option)));
  }

  // -Dw4 is -D -w4: what is attached to a switch must be further short options.
  base::Result<void> switched(const Option& option, std::optional<std::string_view> attached) {
    if (!attached) return turn(option), base::Result<void>();
    const bool is_short = option.flag.size() == 2;
    const std::string next =
        is_short && !attached->empty() ? fmt::format("-{}", attached->front()) : "";
    const auto all = options();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Option& o) { return o.flag == next; });
    if (found == all.end()) {
      return base::fail(fmt::format("argument {}: ignored explicit argument {}", named(option),
                                    python_quoted(*attached)));
    }
    turn(option);
    attached->remove_prefix(1);
    if (attached->starts_with('=')) attached->remove_prefix(1);
    return attached->empty() ? this->option(*found, std::nullopt) : this->option(*found, attached);
  }

  void turn(const Option& option) {
    if (result_.action != Invocation::Action::Serve) return;
    if (option.setting != nullptr) {
      values_[std::string(option.setting->name)] = option.setting->kind == Kind::Flag;
    } else {
      const bool version = option.flag == "-v" || option.flag == "--version";
      result_.action = version ? Invocation::Action::Version : Invocation::Action::Help;
    }
  }

  base::Result<void> set(const Option& option, std::string_view text) {
    auto value = typed(option, text);
    if (!value) return base::Unexpected{value.error()};
    Layer& place = values_[std::string(option.setting->name)];
    if (option.setting->kind == Kind::List) {
      place.push_back(std::move(*value));
    } else {
      place = std::move(*value);
    }
    return {};
  }

  std::vector<Word> words_;
  std::size_t at_ = 0;
  bool had_positionals_ = false;
  Invocation result_;
  std::vector<std::string> positionals_;
  std::vector<std::string> unrecognized_;
  Layer values_ = Layer::object();
};

base::Unexpected usage_error(const base::Error& error) {
  return base::fail(fmt::format("{}tricorn: error: {}", kUsage, error.text), 2);
}

// Splits words; one step per character.
class Splitter {
 public:
  void take(char c) {
    if (escaping_) {
      if (quote_ == '"' && c != '"' && c != '\\') word_ += '\\';
      word_ += c;
      escaping_ = false;
    } else if (c == '\\' && quote_ != '\'') {
      escaping_ = in_word_ = true;
    } else if (quote_ != '\0') {
      if (c == quote_) {
        quote_ = '\0';
      } else {
        word_ += c;
      }
    } else if (c == '\'' || c == '"') {
      quote_ = c;
      in_word_ = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      end_word();
    } else {
      word_ += c;
      in_word_ = true;
    }
  }

  base::Result<std::vector<std::string>> finish() {
    if (escaping_) return base::fail("GUNICORN_CMD_ARGS: No escaped character");
    if (quote_ != '\0') return base::fail("GUNICORN_CMD_ARGS: No closing quotation");
    end_word();
    return std::move(words_);
  }

 private:
  void end_word() {
    if (in_word_) words_.push_back(std::exchange(word_, {}));
    in_word_ = false;
  }

  std::vector<std::string> words_;
  std::string word_;
  char quote_ = '\0';
  bool in_word_ = false;
  bool escaping_ = false;
};

std::string flags_for_help(const Setting& setting) {
  std::string text;
  for (const Option& option : options()) {
    if (option.setting != &setting) continue;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", option.flag);
    if (takes_value(&setting)) text += fmt::format(" {}", setting.metavar);
  }
  return text;
}

// Lines of at most 79 columns, the text from column 24 on: the look of argparse.
std::string wrapped(std::string_view text) {
  constexpr std::size_t kIndent = 24, kColumns = 79;
  std::string out, line;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (!line.empty() && kIndent + line.size() + 1 + space > kColumns) {
      out += fmt::format("{:{}}{}\n", "", kIndent, std::exchange(line, {}));
    }
    line += fmt::format("{}{}", line.empty() ? "" : " ", text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return out + fmt::format("{:{}}{}\n", "", kIndent, line);
}

}  // namespace

base::Result<Invocation> parse_arguments(std::span<const std::string> arguments) {
  // Settings travel as JSON, so a path in another encoding could not arrive where it is needed.
  for (const std::string& text : arguments) {
    if (!is_utf8(text)) return usage_error({fmt::format("not UTF-8: {}", python_quoted(text))});
  }
  auto words = classify(arguments);
  if (!words) return usage_error(words.error());
  auto read = Reader(std::move(*words)).read();
  if (!read) return usage_error(read.error());
  return read;
}

base::Result<std::vector<std::string>> split_words(std::string_view text) {
  Splitter splitter;
  for (const char c : text) splitter.take(c);
  return splitter.finish();
}

Layer environment_layer(const std::function<const char*(const char*)>& get) {
  const auto given = [&get](const char* name) {
    const char* value = get(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  Layer layer = Layer::object();
  if (const auto text = given("WEB_CONCURRENCY"); !text.empty()) {
    const auto workers = python_int(text, 10);
    layer["workers"] = workers ? Layer(*workers) : Layer(text);
  }
  if (const auto port = given("PORT"); !port.empty())
    layer["bind"] = Layer::array({fmt::format("0.0.0.0:{}", port)});
  if (const char* allowed = get("FORWARDED_ALLOW_IPS")) layer["forwarded_allow_ips"] = allowed;
  if (get("SENDFILE") != nullptr) {
    const std::string value = lowered(given("SENDFILE"));
    layer["sendfile"] = value == "y" || value == "1" || value == "yes" || value == "true";
  }
  return layer;
}

base::Result<Layer> layer_from_json(std::string_view text) {
  Layer layer = Layer::parse(text, nullptr, false);
  if (!layer.is_object()) return base::fail("the configuration file's values are no JSON object");
  return layer;
}

std::string help_text() {
  std::string text = fmt::format(
      "{}\nServes a WSGI application, MODULE:CALLABLE, and says why a worker timed out.\n"
      "Settings may also stand in gunicorn.conf.py and GUNICORN_CMD_ARGS; the command\n"
      "line wins.\n\noptions:\n"
      "  -h, --help            show this help message and exit\n"
      "  -v, --version         show program's version number and exit\n",
      kUsage);
  for (const Setting& setting : settings()) {
    if (setting.flags.empty()) continue;
    const std::string standing = python_str(Layer::parse(setting.default_json));
    const std::string lacks =
        setting.lacks.empty() ? "" : fmt::format(" (Does not act: {}.)", setting.lacks);
    text += fmt::format("  {}\n{}", flags_for_help(setting),
                        wrapped(fmt::format("{}{} [{}]", setting.meaning, lacks, standing)));
  }
  return text;
}

}  // namespace tricorn::config
