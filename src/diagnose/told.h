// What a worker has told of an end that it made itself (worker/notices.h), as an incident.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "diagnose/evidence.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

struct Told {
  Evidence evidence;
  Verdict verdict;
  std::string ref;
};

/// @param text  of a Told message; whatever it holds, it is taken as data
/// @param app_directory  places below it are shown relative to it
/// @return nothing when it is not in the form of one, or of a cause that is not a worker's to tell
[[nodiscard]] std::optional<Told> parse_told(std::string_view text,
                                             const std::string& app_directory);

}  // namespace tricorn::diagnose
