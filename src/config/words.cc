#include "config/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace tricorn::config {
namespace {

std::vector<Option> options_of_the_table() {
  std::vector<Option> all{
      {"-h", nullptr}, {"--help", nullptr}, {"-v", nullptr}, {"--version", nullptr}};
  for (const Setting& setting : settings()) {
    for (std::string_view rest = setting.flags; !rest.empty();) {
      const std::size_t space = std::min(rest.find(' '), rest.size());
      all.push_back({rest.substr(0, space), &setting});
      rest.remove_prefix(std::min(space + 1, rest.size()));
    }
  }
  return all;
}

const Option* exactly(std::string_view flag) {
  const auto all = options();
  const auto found =
      std::find_if(all.begin(), all.end(), [flag](const Option& o) { return o.flag == flag; });
  return found == all.end() ? nullptr : &*found;
}

// "-5" and "-.5" are values, because no option looks like a number.
bool is_negative_number(std::string_view word) {
  word.remove_prefix(1);
  const std::size_t point = std::min(word.find('.'), word.size());
  const auto digits = [](std::string_view part) {
    return part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (point == word.size()) return !word.empty() && digits(word);
  return digits(word.substr(0, point)) && point + 1 < word.size() && digits(word.substr(point + 1));
}

Word no_option(std::string_view text) {
  const bool value = is_negative_number(text) || text.find(' ') != std::string_view::npos;
  return {value ? Word::Role::Value : Word::Role::Unknown, text, nullptr, std::nullopt};
}

bool is_ours(const Option& option) {
  return option.setting != nullptr && option.setting->section == kOwnSection;
}

// What abbreviates one of Gunicorn's options goes on doing so, whatever options we add.
std::vector<const Option*> abbreviated_by(std::string_view name) {
  std::vector<const Option*> theirs, ours;
  for (const Option& option : options()) {
    if (option.flag.starts_with(name)) (is_ours(option) ? ours : theirs).push_back(&option);
  }
  return theirs.empty() ? ours : theirs;
}

base::Result<Word> abbreviated(std::string_view text, std::string_view name,
                               std::optional<std::string_view> attached) {
  const std::vector<const Option*> matches = abbreviated_by(name);
  if (matches.empty()) return no_option(text);
  if (matches.size() == 1) return Word{Word::Role::Option, text, matches.front(), attached};
  std::string names;
  for (const Option* match : matches) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", match->flag);
  }
  return base::fail(fmt::format("ambiguous option: {} could match {}", text, names));
}

base::Result<Word> dashed(std::string_view text) {
  if (const Option* option = exactly(text))
    return Word{Word::Role::Option, text, option, std::nullopt};
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  std::optional<std::string_view> attached;
  if (equals != std::string_view::npos) attached = text.substr(equals + 1);
  if (const Option* option = exactly(name)) return Word{Word::Role::Option, text, option, attached};
  if (text.starts_with("--")) return abbreviated(text, name, attached);
  const Option* option = exactly(text.substr(0, 2));
  if (option == nullptr) return no_option(text);
  return Word{Word::Role::Option, text, option, text.substr(2)};
}

}  // namespace

std::span<const Option> options() {
  static const std::vector<Option> all = options_of_the_table();
  return all;
}

base::Result<std::vector<Word>> classify(std::span<const std::string> arguments) {
  std::vector<Word> words;
  bool only_values = false;
  for (const std::string& text : arguments) {
    if (only_values || text.size() < 2 || text[0] != '-') {
      words.push_back({Word::Role::Value, text, nullptr, std::nullopt});
    } else if (text == "--") {
      only_values = true;
      words.push_back({Word::Role::Separator, text, nullptr, std::nullopt});
    } else {
      auto word = dashed(text);
      if (!word) return base::Unexpected{word.error()};
      words.push_back(*word);
    }
  }
  return words;
}

}  // namespace tricorn::config
