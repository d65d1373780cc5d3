// The arbiter's own words to a client whose worker cannot speak. No edge to http: constant bytes.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace tricorn::arbiter {

/// A whole HTTP/1.1 answer in Gunicorn's HTML with `Connection: close`, Date, and the reference as
/// X-Reference-Id and in the page. A 503 carries Retry-After: 1.
/// @param status  408, 500, 503 or 504
/// @param wall  seconds since the epoch, for Date
[[nodiscard]] std::string farewell(int status, std::string_view reference, std::time_t wall);

}  // namespace tricorn::arbiter
