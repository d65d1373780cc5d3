// The words of tricornctl's command line.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tricorn::control {

/// One thing tricornctl can do.
struct Command {
  std::string_view name;
  std::string_view usage;    ///< what may follow the name
  std::string_view summary;  ///< one line for the list
  std::string_view options;  ///< names of the options it takes besides the common ones, with blanks
  std::string_view help;     ///< further lines of its own --help, each with its end
  int arguments_max = 0;     ///< positional words
  int arguments_min = 0;
};

/// What was asked for.
struct Wish {
  const Command* command = nullptr;  ///< null: --help of the whole program
  std::vector<std::string> arguments;
  std::map<std::string, std::string, std::less<>> options;  ///< by long name; "" for a flag
  bool help = false;

  [[nodiscard]] bool has(std::string_view option) const { return options.contains(option); }
  /// Value of an option, `otherwise` when it is not given.
  [[nodiscard]] std::string value(std::string_view option, std::string_view otherwise = "") const;
};

/// @return Error naming the word that is wrong
[[nodiscard]] base::Result<Wish> read_words(const std::vector<Command>& commands,
                                            const std::vector<std::string>& words);

/// Text of --help: of one command, or of all when it is null.
[[nodiscard]] std::string help_of(const std::vector<Command>& commands, const Command* command);

/// A whole number from 1 on. @return Error naming what it is for
[[nodiscard]] base::Result<int> whole_number(std::string_view what, const std::string& text,
                                             int most);

}  // namespace tricorn::control
