// The table of settings as documentation.
#pragma once

#include <string>

namespace tricorn::config {

/// docs/settings.md: all settings by section.
[[nodiscard]] std::string describe_markdown();

/// The README's table: the settings that act and have a flag.
[[nodiscard]] std::string describe_options_markdown();

/// The table for Python's side: a JSON array of objects with name, section, flags, kind, metavar,
/// default, meaning.
[[nodiscard]] std::string describe_json();

}  // namespace tricorn::config
