// The one table of settings.
#pragma once

#include <span>
#include <string_view>

namespace tricorn::config {

/// What a setting's value is, and so how it is read and checked.
enum class Kind {
  Count,        ///< int >= 0; strings as Python's int(text, 0) reads them
  Flag,         ///< turns on
  FlagOff,      ///< turns off
  Text,         ///< str or None
  Choice,       ///< one of `choices`
  List,         ///< list of str; repeated on the command line
  CommaList,    ///< "A,B"
  AddressList,  ///< "127.0.0.1,10.0.0.0/8,*"
  Mapping,      ///< dict of str
  Class,        ///< worker or logger class, by name
  Directory,    ///< must exist; made absolute
  User,         ///< name or number
  Group,
  Hook,         ///< a callable, known to the spawner only
};

struct Setting {
  std::string_view name;
  Kind kind;
  std::string_view default_json;
  std::string_view flags;    ///< "-w --workers"; empty: configuration file only
  std::string_view metavar;
  std::string_view section;
  bool acts;
  std::string_view choices;  ///< separated by spaces
  std::string_view meaning;
};

/// All settings in the order of the documentation.
[[nodiscard]] std::span<const Setting> settings();
/// The setting of that name, null when there is none.
[[nodiscard]] const Setting* find_setting(std::string_view name);

}  // namespace tricorn::config
