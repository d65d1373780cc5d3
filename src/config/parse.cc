#include "config/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/setting.h"

namespace tricorn::config {
namespace {

// One spelling of an option; "-h" and "-v" have no setting.
struct Option {
  std::string flag;
  const Setting* setting;
};

const std::vector<Option>& options() {
  static const auto all = [] {
    std::vector<Option> made{{"-h", nullptr}, {"--help", nullptr}, {"-v", nullptr}, {"--version", nullptr}};
    for (const Setting& setting : settings()) {
      std::string_view flags = setting.flags;
      while (!flags.empty()) {
        const std::size_t space = std::min(flags.find(' '), flags.size());
        made.push_back({std::string(flags.substr(0, space)), &setting});
        flags.remove_prefix(std::min(space + 1, flags.size()));
      }
    }
    return made;
  }();
  return all;
}

bool takes_value(const Setting* setting) {
  return setting != nullptr && setting->kind != Kind::Flag && setting->kind != Kind::FlagOff;
}

std::string spelled(const Setting& setting) {
  std::string text(setting.flags);
  std::replace(text.begin(), text.end(), ' ', '/');
  return text;
}

class Parser {
 public:
  explicit Parser(std::span<const std::string> arguments) : arguments_(arguments) {}

  base::Result<Invocation> parse() {
    bool only_positionals = false;
    while (at_ < arguments_.size() && !failed_) {
      const std::string& word = arguments_[at_++];
      if (only_positionals || word.size() < 2 || word[0] != '-') {
        take_positional(word);
      } else if (word == "--") {
        only_positionals = true;
      } else if (word[1] == '-') {
        long_option(word);
      } else {
        short_options(word);
      }
    }
    if (failed_) return base::Unexpected{{fmt::format("usage: tricorn [OPTIONS] [APP_MODULE]\ntricorn: error: {}", error_), 2}};
    result_.values_json = values_.dump();
    return result_;
  }

 private:
  void fail(std::string text) {
    failed_ = true;
    error_ = std::move(text);
  }

  void take_positional(const std::string& word) {
    if (result_.app.empty()) {
      result_.app = word;
    } else {
      result_.ignored.push_back(word);
    }
  }

  void long_option(const std::string& word) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    std::vector<const Option*> matches;
    for (const Option& option : options()) {
      if (option.flag == name) {
        matches = {&option};
        break;
      }
      if (option.flag.rfind(name, 0) == 0) matches.push_back(&option);
    }
    if (matches.empty()) return fail("unrecognized arguments: " + word);
    if (matches.size() > 1) {
      std::string names;
      for (const Option* option : matches) names += (names.empty() ? "" : ", ") + option->flag;
      return fail(fmt::format("ambiguous option: {} could match {}", name, names));
    }
    const Option& option = *matches.front();
    if (!takes_value(option.setting)) {
      if (equals != std::string::npos) return fail(fmt::format("argument {}: ignored explicit argument '{}'", option.flag, word.substr(equals + 1)));
      return set_flag(option);
    }
    if (equals != std::string::npos) return set_value(*option.setting, word.substr(equals + 1));
    next_value(*option.setting);
  }

  void short_options(const std::string& word) {
    for (std::size_t i = 1; i < word.size() && !failed_; ++i) {
      const std::string flag{'-', word[i]};
      const auto found = std::find_if(options().begin(), options().end(), [&](const Option& o) { return o.flag == flag; });
      if (found == options().end()) return fail("unrecognized arguments: " + word);
      if (!takes_value(found->setting)) {
        set_flag(*found);
        continue;
      }
      const std::size_t value_at = i + 1 < word.size() && word[i + 1] == '=' ? i + 2 : i + 1;
      if (value_at < word.size()) return set_value(*found->setting, word.substr(value_at));
      return next_value(*found->setting);
    }
  }

  void set_flag(const Option& option) {
    if (option.setting != nullptr) {
      values_[std::string(option.setting->name)] = option.setting->kind == Kind::Flag;
    } else if (option.flag == "-h" || option.flag == "--help") {
      result_.action = Invocation::Action::Help;
    } else {
      result_.action = Invocation::Action::Version;
    }
  }

  // A word that looks like an option is no value, "-" alone is. Gunicorn's --proxy-protocol may stand bare.
  void next_value(const Setting& setting) {
    const bool there = at_ < arguments_.size() && (arguments_[at_].size() < 2 || arguments_[at_][0] != '-');
    if (there) return set_value(setting, arguments_[at_++]);
    if (setting.name == "proxy_protocol") return set_value(setting, "auto");
    fail(fmt::format("argument {}: expected one argument", spelled(setting)));
  }

  void set_value(const Setting& setting, const std::string& text) {
    const std::string name(setting.name);
    if (setting.kind == Kind::List) {
      values_[name].push_back(text);
      return;
    }
    if (setting.kind == Kind::Count && setting.name != "umask") {
      const bool digits = !text.empty() && text.find_first_not_of("0123456789", text[0] == '-' ? 1 : 0) == std::string::npos;
      if (!digits) return fail(fmt::format("argument {}: invalid int value: '{}'", spelled(setting), text));
    }
    values_[name] = text;
  }

  std::span<const std::string> arguments_;
  std::size_t at_ = 0;
  Invocation result_;
  Layer values_ = Layer::object();
  bool failed_ = false;
  std::string error_;
};

}  // namespace

base::Result<Invocation> parse_arguments(std::span<const std::string> arguments) { return Parser(arguments).parse(); }

base::Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < text.size();
    if (escapes && (quote == '\0' || text[i + 1] == '"' || text[i + 1] == '\\')) {
      word += text[++i];
      in_word = true;
    } else if (quote != '\0') {
      if (c == quote) quote = '\0';
      else word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') return base::fail("GUNICORN_CMD_ARGS: No closing quotation");
  if (in_word) words.push_back(word);
  return words;
}

Layer environment_layer(const std::function<const char*(const char*)>& get) {
  Layer layer = Layer::object();
  if (const char* workers = get("WEB_CONCURRENCY"); workers != nullptr && *workers != '\0') layer["workers"] = workers;
  if (const char* port = get("PORT"); port != nullptr && *port != '\0') layer["bind"] = {fmt::format("0.0.0.0:{}", port)};
  if (const char* allowed = get("FORWARDED_ALLOW_IPS")) layer["forwarded_allow_ips"] = allowed;
  if (const char* sendfile = get("SENDFILE")) {
    const std::string value(sendfile);
    layer["sendfile"] = value == "y" || value == "1" || value == "yes" || value == "true";
  }
  return layer;
}

std::string help_text() {
  std::string text =
      "usage: tricorn [OPTIONS] [APP_MODULE]\n\n"
      "Serves a WSGI application, MODULE:CALLABLE, and says why a worker timed out.\n"
      "Settings may also stand in gunicorn.conf.py and GUNICORN_CMD_ARGS; the command line wins.\n\noptions:\n"
      "  -h, --help            show this help and exit\n"
      "  -v, --version         show the version and exit\n";
  for (const Setting& setting : settings()) {
    if (setting.flags.empty()) continue;
    std::string flags(setting.flags);
    for (std::size_t at = 0; (at = flags.find(' ', at)) != std::string::npos; at += 2) flags.replace(at, 1, ", ");
    if (!setting.metavar.empty()) flags += fmt::format(" {}", setting.metavar);
    text += fmt::format("  {}\n                        {} [{}]{}\n", flags, setting.meaning, setting.default_json,
                        setting.acts ? "" : " (parsed; not acted on yet)");
  }
  return text;
}

}  // namespace tricorn::config
