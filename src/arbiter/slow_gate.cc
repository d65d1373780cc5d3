#include "arbiter/slow_gate.h"

#include <utility>

namespace tricorn::arbiter {

std::optional<unsigned> SlowGate::pass(std::string_view request, std::int64_t now_ns) {
  if (lines_ == 0 || now_ns - window_began_ns_ >= kSlowWindowNs) {
    window_began_ns_ = now_ns;
    lines_ = 0;
  }
  const auto known = paths_.find(std::string(request));
  const bool again = known != paths_.end() && now_ns - known->second.last_ns < kSlowPathPauseNs;
  if (again || lines_ >= kSlowLinesMax) {
    if (known != paths_.end()) ++known->second.quiet;
    return std::nullopt;
  }
  if (known == paths_.end() && paths_.size() >= kSlowPathsMax) {
    std::erase_if(paths_, [now_ns](const auto& entry) {
      return now_ns - entry.second.last_ns >= kSlowPathPauseNs;
    });
  }
  ++lines_;
  Path& path = paths_[std::string(request)];
  path.last_ns = now_ns;
  return std::exchange(path.quiet, 0);
}

}  // namespace tricorn::arbiter
