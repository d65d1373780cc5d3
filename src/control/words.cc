#include "control/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace tricorn::control {
namespace {

struct Option {
  std::string_view name;
  std::string_view short_name;
  std::string_view value;  ///< empty: a flag
  std::string_view meaning;
  bool common = false;
};

constexpr std::array<Option, 12> kOptions = {{
    {"--socket", "-s", "PATH", "the server's control socket; default: that of your only server",
     true},
    {"--pid", "-p", "FILE", "the server whose pid is in this pidfile", true},
    {"--json", "", "", "the answer as JSON", true},
    {"--help", "-h", "", "this text", true},
    {"--report", "", "FILE", "read the file the server was given as --report instead of asking it"},
    {"--seconds", "", "N", "how long, 1 to 300; default 10"},
    {"--rate", "", "HZ", "samples a second, 1 to 200; default 100"},
    {"--format", "", "FORMAT", "form of the output, see above"},
    {"--output", "-o", "FILE", "write to this file instead of standard output"},
    {"--gil", "", "", "only threads that hold the GIL"},
    {"--once", "", "", "print once and end"},
    {"--frontend-limit", "", "SECONDS", "time limit of the proxy in front; 0 none; default 240"},
}};

const Option* find_option(std::string_view word) {
  const auto found = std::find_if(kOptions.begin(), kOptions.end(), [word](const Option& option) {
    return option.name == word || (!option.short_name.empty() && option.short_name == word);
  });
  return found == kOptions.end() ? nullptr : &*found;
}

bool takes(const Command& command, const Option& option) {
  if (option.common) return true;
  const std::string padded = fmt::format(" {} ", command.options);
  return padded.find(fmt::format(" {} ", option.name)) != std::string::npos;
}

std::string option_line(const Option& option) {
  std::string left = std::string(option.short_name);
  if (!left.empty()) left += ", ";
  left += option.name;
  if (!option.value.empty()) left += fmt::format(" {}", option.value);
  return fmt::format("  {:<27} {}\n", left, option.meaning);
}

const Command* find_command(const std::vector<Command>& commands, std::string_view name) {
  const auto found = std::find_if(commands.begin(), commands.end(),
                                  [name](const Command& command) { return command.name == name; });
  return found == commands.end() ? nullptr : &*found;
}

/// Puts one word into the wish. @return false: the next word is this option's value
base::Result<bool> take_option(Wish& wish, std::string_view word) {
  const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string_view::npos;
  const Option* option = find_option(word.substr(0, equals));
  if (option == nullptr) return base::fail(fmt::format("unknown option '{}'", word));
  const bool attached = equals != std::string_view::npos;
  if (option->value.empty() && attached)
    return base::fail(fmt::format("{} takes no value", option->name));
  if (option->name == "--help") wish.help = true;
  wish.options[std::string(option->name)] = attached ? std::string(word.substr(equals + 1)) : "";
  return option->value.empty() || attached;
}

base::Result<void> check(const Wish& wish) {
  if (wish.help || wish.command == nullptr) return {};
  for (const auto& [name, value] : wish.options) {
    if (!takes(*wish.command, *find_option(name)))
      return base::fail(fmt::format("{} is not for {}", name, wish.command->name));
  }
  const auto count = static_cast<int>(wish.arguments.size());
  if (count > wish.command->arguments_max)
    return base::fail(
        fmt::format("{}: '{}' is one word too many", wish.command->name, wish.arguments.back()));
  if (count < wish.command->arguments_min)
    return base::fail(fmt::format("{} needs {}", wish.command->name, wish.command->usage));
  return {};
}

}  // namespace

std::string Wish::value(std::string_view option, std::string_view otherwise) const {
  const auto found = options.find(option);
  return found == options.end() ? std::string(otherwise) : found->second;
}

base::Result<Wish> read_words(const std::vector<Command>& commands,
                              const std::vector<std::string>& words) {
  Wish wish;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() > 1 && word.front() == '-') {
      const auto complete = take_option(wish, word);
      if (!complete) return base::Unexpected{complete.error()};
      if (*complete) continue;
      if (++i == words.size()) return base::fail(fmt::format("{} needs a value", word));
      wish.options[std::string(find_option(word)->name)] = words[i];
    } else if (wish.command == nullptr) {
      wish.command = find_command(commands, word);
      if (wish.command == nullptr) return base::fail(fmt::format("unknown command '{}'", word));
    } else {
      wish.arguments.push_back(word);
    }
  }
  if (wish.command == nullptr && !wish.help) return base::fail("a command is needed");
  if (auto checked = check(wish); !checked) return base::Unexpected{checked.error()};
  return wish;
}

std::string help_of(const std::vector<Command>& commands, const Command* command) {
  std::string out;
  if (command == nullptr) {
    out =
        "usage: tricornctl COMMAND [OPTION ...]\n\nAsks a running tricorn server, also when all "
        "its workers hang.\n\n";
    for (const Command& one : commands) {
      out += fmt::format("  {:<18} {}\n", fmt::format("{} {}", one.name, one.usage), one.summary);
    }
    out += "\nOptions of every command:\n";
  } else {
    out = fmt::format("usage: tricornctl {} {}[OPTION ...]\n\n{}\n{}\n", command->name,
                      command->usage.empty() ? "" : fmt::format("{} ", command->usage),
                      command->summary, command->help);
  }
  for (const Option& option : kOptions) {
    if (command == nullptr ? option.common : takes(*command, option)) out += option_line(option);
  }
  out +=
      "\nExit status: 0 done, 1 the server said no or knows no such thing, 2 wrong words or no "
      "server.\n";
  return out;
}

base::Result<int> whole_number(std::string_view what, const std::string& text, int most) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 1 || number > most)
    return base::fail(fmt::format("{} must be a number from 1 to {}, not '{}'", what, most, text));
  return number;
}

}  // namespace tricorn::control
