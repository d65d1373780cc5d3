// From what the sources gave to the settings that hold.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/parse.h"

namespace tricorn::config {

/// Merges layers, a later one wins, over the defaults, and validates every value that was given.
/// Lists are replaced as a whole; names that are no settings are ignored, as in Gunicorn.
/// @return one JSON object with every setting but hooks; Error in Gunicorn's words, naming the setting
[[nodiscard]] base::Result<Layer> resolve(const std::vector<Layer>& low_to_high);

/// One sentence for each setting that somebody gave and that does not act.
[[nodiscard]] std::vector<std::string> warnings_of(const std::vector<Layer>& low_to_high);

/// --print-config: "name = value" lines, sorted and padded, values as Python prints them.
[[nodiscard]] std::string print_config(const Layer& settings);

/// docs/settings.md.
[[nodiscard]] std::string describe_markdown();

}  // namespace tricorn::config
