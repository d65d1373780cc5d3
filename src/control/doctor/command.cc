#include "control/doctor/command.h"

#include <algorithm>
#include <utility>

#include "control/doctor/json_line.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

constexpr std::size_t kWordsMax = 512;

bool is_quote(char c) { return c == '\'' || c == '"' || c == '`'; }

// Splits as a shell would, forgiving what a log has done to it: an unclosed quote ends with the
// text. What ends a command (";", "&&", "|") ends the words.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}

  std::optional<std::string> next() {
    // A list of words, as in a Dockerfile: "-t", "30"
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == ','))
      rest_.remove_prefix(1);
    if (rest_.empty() || ++count_ > kWordsMax) return std::nullopt;
    if (rest_[0] == ';' || rest_[0] == '&' || rest_[0] == '|' || rest_[0] == '>' || rest_[0] == ']')
      return std::nullopt;
    std::string word;
    char quote = 0;
    while (!rest_.empty()) {
      const char c = rest_[0];
      if (quote == 0 && (c == ' ' || c == '\t' || c == ';')) break;
      rest_.remove_prefix(1);
      if (quote == 0 && is_quote(c))
        quote = c;
      else if (c == quote)
        quote = 0;
      else if (c == '\\' && !rest_.empty() && is_quote(rest_[0]))
        continue;
      else
        word += c;
    }
    while (word.ends_with(',') || word.ends_with(']')) word.pop_back();
    return word;
  }

 private:
  std::string_view rest_;
  std::size_t count_ = 0;
};

bool is_option(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && (is_letter(word[1]) || word[1] == '-');
}

// module:callable
bool is_application(std::string_view word) {
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 >= word.size()) return false;
  const auto named = [](char c) { return is_word(c) || c == '.' || c == '/' || c == '-'; };
  return std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(colon), named) &&
         (is_letter(word[colon + 1]) || word[colon + 1] == '_');
}

bool is_module(std::string_view word) {
  return !word.empty() && (is_letter(word[0]) || word[0] == '_') && !word.ends_with('.') &&
         std::all_of(word.begin(), word.end(), [](char c) { return is_word(c) || c == '.'; });
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  const auto number = take_number(text, 9);
  return number && text.empty() ? number : std::nullopt;
}

// argparse takes any unambiguous beginning of a long option.
bool abbreviates(std::string_view word, std::string_view option, std::size_t shortest) {
  return word.size() >= shortest && option.starts_with(word);
}

void set_timeout(Command& command, std::optional<std::string> value) {
  command.has_timeout = true;
  command.timeout = value ? whole_number(*value) : std::nullopt;
}

void read_option(std::string_view word, Words& words, Command& command) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const bool joined = equals != std::string_view::npos;
  const std::string value = joined ? std::string(word.substr(equals + 1)) : "";
  if (abbreviates(name, "--timeout", 4)) {
    set_timeout(command, joined ? value : words.next());
  } else if (abbreviates(name, "--config", 6)) {
    command.has_config = true;
    if (!joined) (void)words.next();
  } else if (abbreviates(name, "--env", 4) || name == "-e") {
    command.shown += joined ? "=…" : " …";
    if (!joined) (void)words.next();
  } else if (word.starts_with("-t") && word.size() > 2 && word[1] == 't') {
    set_timeout(command, std::string(word.substr(word[2] == '=' ? 3 : 2)));
  } else if (word == "-t") {
    set_timeout(command, words.next());
  } else if (word.starts_with("-c") && word[1] != '-') {
    command.has_config = true;
    if (word.size() == 2) (void)words.next();
  }
}

// Reads what follows "gunicorn"; @return whether it looks like arguments of a server.
bool read_arguments(std::string_view text, bool command_place, Command& command) {
  Words words(text);
  bool told = false;
  bool first = true;
  for (auto word = words.next(); word; word = words.next(), first = false) {
    if (word->empty()) continue;
    if (first && (*word == "--version" || *word == "-v" || *word == "--help" || *word == "-h" ||
                  *word == "--print-config" || *word == "--check-config")) {
      return false;
    }
    const bool option = is_option(*word);
    const bool application = is_application(*word);
    if (first && !option && !application && !(command_place && is_module(*word))) return false;
    told |= option || application || first;
    const std::size_t equals = word->find('=');
    const bool env = option && (word->starts_with("--env") || word->starts_with("-e"));
    command.shown += ' ';
    command.shown += env && equals != std::string::npos ? word->substr(0, equals) : *word;
    if (!option) continue;
    const bool had_timeout = command.has_timeout;
    read_option(*word, words, command);
    if (command.has_timeout && !had_timeout && word->find('=') == std::string::npos &&
        (*word == "-t" || word->starts_with("--t")))
      command.shown += command.timeout ? ' ' + std::to_string(*command.timeout) : " …";
  }
  return told;
}

// `before` ends where a docker command's own part ends: an option's value or an image may be named
// gunicorn too.
bool inside_container_command(std::string_view before) {
  std::size_t run = before.rfind("docker run ");
  if (run == std::string_view::npos) run = before.rfind("podman run ");
  if (run == std::string_view::npos) return true;
  constexpr std::string_view kWithValue[] = {
      "-e",         "-p",         "-v",           "-l",           "-h",         "-u",
      "-w",         "-m",         "-c",           "--name",       "--env",      "--publish",
      "--volume",   "--network",  "--net",        "--hostname",   "--label",    "--user",
      "--workdir",  "--memory",   "--cpus",       "--entrypoint", "--env-file", "--restart",
      "--add-host", "--link",     "--log-driver", "--log-opt",    "--mount",    "--platform",
      "--pid",      "--ip",       "--dns",        "--expose",     "--ulimit",   "--device",
      "--cap-add",  "--cap-drop", "--gpus",       "--shm-size",   "--cidfile",  "--stop-timeout"};
  Words words(before.substr(run + 11));
  bool image = false;
  bool value = false;
  for (auto word = words.next(); word && !image; word = words.next()) {
    if (value) {
      value = false;
    } else if (is_option(*word)) {
      value =
          std::find(std::begin(kWithValue), std::end(kWithValue), *word) != std::end(kWithValue);
    } else {
      image = true;
    }
  }
  return image;
}

// Words before "gunicorn" after which only a command can follow.
bool is_command_place(std::string_view before) {
  while (before.ends_with(' ') || before.ends_with('\t')) before.remove_suffix(1);
  if (before.empty()) return true;
  const char last = before.back();
  if (is_quote(last) || last == '$' || last == '#' || last == '+' || last == '%' || last == '[')
    return true;
  for (const std::string_view word : {"exec",
                                      "-m",
                                      "run",
                                      "run-program",
                                      "web:",
                                      "command:",
                                      "Command:",
                                      "appCommandLine:",
                                      "CMD",
                                      "ENTRYPOINT",
                                      "ExecStart=",
                                      "ddtrace-run",
                                      "opentelemetry-instrument",
                                      "--",
                                      "nohup",
                                      "sudo",
                                      "-userStartupCommand",
                                      "&&",
                                      ";",
                                      "python",
                                      "python3",
                                      "time"}) {
    if (before.ends_with(word)) return true;
  }
  return false;
}

bool is_prose_place(std::string_view before) {
  while (before.ends_with(' ')) before.remove_suffix(1);
  for (const std::string_view word :
       {"install", "Starting", "Started", "Stopping", "Stopped", "usage:", "Usage:", "import",
        "start", "stop", "restart", "status", "reload", "satisfied:", "Collecting", "Installing"})
    if (before.ends_with(word)) return true;
  return false;
}

}  // namespace

std::optional<Command> find_command(std::string_view text, const Hits& hits) {
  if (!hits.has(Word::Gunicorn)) return std::nullopt;
  constexpr std::string_view kName = "gunicorn";
  for (std::size_t at = hits.at(Word::Gunicorn); at != std::string_view::npos;
       at = text.find(kName, at + 1)) {
    std::string_view after = text.substr(at + kName.size());
    const bool listed = after.starts_with("\",") || after.starts_with("',");
    if (!listed && !after.starts_with(' ') && !after.starts_with('\t')) continue;
    if (at > 0 && text[at - 1] != ' ' && text[at - 1] != '/' && text[at - 1] != '\t' &&
        text[at - 1] != '=' && text[at - 1] != '[' && !is_quote(text[at - 1]))
      continue;
    std::size_t begin = at;  // of the word, with its path
    while (begin > 0 && (is_word(text[begin - 1]) || text[begin - 1] == '/' ||
                         text[begin - 1] == '.' || text[begin - 1] == '-'))
      --begin;
    const std::string_view before = text.substr(0, begin);
    const char quote = begin > 0 && is_quote(text[begin - 1]) ? text[begin - 1] : '\0';
    if (listed)
      after.remove_prefix(1);
    else if (quote != 0)
      after = after.substr(0, after.find(quote));
    if (is_prose_place(before) || !inside_container_command(before)) continue;
    Command command;
    command.shown = kName;
    const bool container = contains(before, "docker run ") || contains(before, "podman run ");
    if (read_arguments(after, container || is_command_place(before), command)) return command;
  }
  return std::nullopt;
}

std::optional<Command> find_command_variable(std::string_view text, const Hits& hits) {
  if (!hits.has(Word::CmdArgs)) return std::nullopt;
  std::string_view rest = text.substr(hits.at(Word::CmdArgs) + 17);
  if (rest.starts_with('"') || rest.starts_with('\'')) rest.remove_prefix(1);
  if (!take(rest, "=") && !take(rest, ":")) return std::nullopt;
  take_blanks(rest);
  if (rest.starts_with("\\\"")) rest.remove_prefix(1);
  const bool quoted = !rest.empty() && is_quote(rest[0]);
  std::string_view value = rest;
  if (quoted) {
    const std::size_t end = rest.find(rest[0], 1);
    value = rest.substr(1, end == std::string_view::npos ? end : end - 1);
  } else {
    value = rest.substr(0, std::min(rest.find_first_of(" \t'\"`"), rest.size()));
  }
  Command command;
  command.shown = "GUNICORN_CMD_ARGS=";
  Words words(value);
  for (auto word = words.next(); word; word = words.next()) {
    const std::size_t equals = word->find('=');
    const bool env = word->starts_with("--env") || word->starts_with("-e");
    if (command.shown.back() != '=') command.shown += ' ';
    command.shown += env && equals != std::string::npos ? word->substr(0, equals) : *word;
    if (is_option(*word)) read_option(*word, words, command);
  }
  return command;
}

std::optional<std::int64_t> PrintedSettings::read(std::string_view text, const Hits& hits) {
  // Gunicorn prints some 100 settings.
  constexpr int kSettingLines = 200;
  if (hits.has(Word::CurrentConfiguration)) {
    lines_left_ = kSettingLines;
    return std::nullopt;
  }
  std::string_view rest = text;
  const std::size_t indent = take_blanks(rest);
  const auto unsure = std::exchange(unsure_, std::nullopt);
  const bool neighbour = rest.starts_with("graceful_timeout") || rest.starts_with("max_requests") ||
                         rest.starts_with("worker_connections") || rest.starts_with("keepalive: ");
  if (neighbour) {
    lines_left_ = std::max(lines_left_, 2);
    if (unsure) return unsure;
  }
  if (lines_left_ > 0) --lines_left_;
  if (!hits.has(Word::TimeoutColon) && !hits.has(Word::TimeoutEquals)) return std::nullopt;
  const bool equals = take(rest, "timeout ");  // --print-config
  if (!equals && !take(rest, "timeout: ")) return std::nullopt;
  take_blanks(rest);
  if (equals && !take(rest, "= ")) return std::nullopt;
  const auto value = whole_number(trimmed(rest));
  if (!value) return std::nullopt;
  if (lines_left_ > 0 || equals || indent == 2) return value;
  unsure_ = value;
  return std::nullopt;
}

std::optional<std::int64_t> json_timeout(std::string_view object) {
  std::optional<std::int64_t> timeout;
  bool settings = false;
  bool message = false;
  std::size_t keys = 0;
  for_each_key(object, [&](std::string_view key, std::string_view value, bool is_text) {
    ++keys;
    if (key == "timeout" && !is_text) timeout = whole_number(value);
    for (const std::string_view name :
         {"workers", "bind", "graceful_timeout", "keepalive", "worker_class", "threads",
          "worker_tmp_dir", "errorlog", "accesslog", "loglevel", "max_requests", "preload_app"})
      settings |= key == name;
    for (const std::string_view name : {"message", "msg", "log", "level", "event"})
      message |= key == name;
  });
  return (settings || keys == 1) && !message ? timeout : std::nullopt;
}

}  // namespace tricorn::control::doctor
