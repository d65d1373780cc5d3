// Reads the report file that --report writes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tricorn::control {

/// What a person reads about one incident: several lines, each ending with a newline.
/// @param line  one line of the report file; @return Error when it is no incident
[[nodiscard]] base::Result<std::string> explain(std::string_view line);

/// Lines of the report whose reference is `ref`, all of them when it is empty; oldest first.
/// @return Error naming the file when it cannot be read
[[nodiscard]] base::Result<std::vector<std::string>> find_incidents(const std::string& path,
                                                                    std::string_view ref);

}  // namespace tricorn::control
