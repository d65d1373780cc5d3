// The words of a command line: which are options, which values, which positionals.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/setting.h"

namespace tricorn::config {

/// One spelling of an option.
struct Option {
  std::string_view flag;
  const Setting* setting;  ///< null: -h --help -v --version
};

/// All spellings, in the table's order; -h and -v first.
[[nodiscard]] std::span<const Option> options();

/// One word of a command line.
struct Word {
  enum class Role { Option, Unknown, Value, Separator };
  Role role = Role::Value;
  std::string_view text;
  const Option* option = nullptr;
  std::optional<std::string_view> attached;  ///< "4" of -w4, -w=4 and --workers=4
};

/// Gives each word its role before any is acted on, as argparse does: a negative number and a word
/// with a space are values, after -- everything is. An abbreviation means one of our own options
/// only when no option of Gunicorn's begins so.
/// @return Error for an abbreviation that several options share; its text lacks argparse's prefix
[[nodiscard]] base::Result<std::vector<Word>> classify(std::span<const std::string> arguments);

}  // namespace tricorn::config
