// How often slow requests may be told of: one path does not fill the log, nor do many paths.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tricorn::arbiter {

/// Between two lines about one path. Source: our bound; a person reads it, not a program.
inline constexpr std::int64_t kSlowPathPauseNs = 30'000'000'000;
/// Lines within kSlowWindowNs about all paths.
inline constexpr unsigned kSlowLinesMax = 20;
inline constexpr std::int64_t kSlowWindowNs = 60'000'000'000;
/// Paths remembered.
inline constexpr std::size_t kSlowPathsMax = 256;

class SlowGate {
 public:
  /// @param request  "GET /x"  @param now_ns  monotonic
  /// @return nothing: keep quiet; else how many of this path were kept quiet since the last line
  [[nodiscard]] std::optional<unsigned> pass(std::string_view request, std::int64_t now_ns);

 private:
  struct Path {
    std::int64_t last_ns = 0;
    unsigned quiet = 0;
  };
  std::unordered_map<std::string, Path> paths_;
  std::int64_t window_began_ns_ = 0;
  unsigned lines_ = 0;
};

}  // namespace tricorn::arbiter
