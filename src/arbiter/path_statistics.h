// What became of the longer requests, by path: bounded, from what the arbiter sees anyway.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tricorn::arbiter {

/// Paths kept; when a new one comes to a full table, the one with the shortest longest request
/// goes.
inline constexpr std::size_t kPathsKept = 200;

struct PathFigures {
  std::string request;          ///< "GET /x"
  std::uint64_t count = 0;      ///< requests that ran for 0.1 s or more
  std::uint64_t timed_out = 0;  ///< of these
  std::int64_t longest_ns = 0;  ///< of those that were answered
  std::int64_t total_ns = 0;    ///< of those that were answered
};

class PathStatistics {
 public:
  void answered(std::string_view request, std::int64_t ns);
  void timed_out(std::string_view request);
  /// Longest first; those that only timed out come before all.
  [[nodiscard]] std::vector<PathFigures> slowest(std::size_t most) const;

 private:
  PathFigures& figures_of(std::string_view request);
  std::map<std::string, PathFigures, std::less<>> paths_;
};

}  // namespace tricorn::arbiter
