// From what the sources gave to the settings that hold.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/parse.h"

namespace tricorn::config {

/// Merges layers over the defaults, a later one wins, and validates every value that was given.
/// Lists are replaced as a whole; names that are no settings are ignored, as in Gunicorn.
/// sync with several threads becomes gthread; no threads means one.
/// @param low_to_high  environment, configuration file, GUNICORN_CMD_ARGS, command line
/// @return one JSON object with every setting but hooks, see settings.h; or the Error
///         "Invalid value for NAME: VALUE", an empty line and "Error: <Gunicorn's words>"
[[nodiscard]] base::Result<Layer> resolve(const std::vector<Layer>& low_to_high);

/// One sentence for each setting that somebody set to something else than its default and that does
/// not act.
/// @param low_to_high  layers that resolve() accepted
[[nodiscard]] std::vector<std::string> warnings_of(const std::vector<Layer>& low_to_high);

/// --print-config: "name = value" lines, sorted, names padded, values as Python prints them.
/// @param conf  the configuration file's layer, which has the names of the hooks it defines
[[nodiscard]] std::string print_config(const Layer& settings, const Layer& conf);

}  // namespace tricorn::config
