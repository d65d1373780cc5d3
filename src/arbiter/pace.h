// How often the arbiter looks at the pages of its workers. Nothing tells it that a request began,
// and while there is nothing to do, waking up is what it costs.
#pragma once

#include <cstdint>

namespace tricorn::arbiter {

class Pace {
 public:
  /// What this turn has seen.
  /// @param busy  something goes on that must be followed: a request, a boot, the end of a worker
  /// @param answered  requests answered so far, by all workers that are there
  void note(bool busy, std::uint64_t answered, std::int64_t now_ns);
  /// Until the next turn: a tenth of a second; after some seconds without a request a longer one.
  /// @param limit_ns  the shortest time a request may take before something is due; 0: none
  [[nodiscard]] std::int64_t pause_ns(std::int64_t limit_ns, std::int64_t now_ns) const;

 private:
  std::int64_t last_ns_ = 0;  // when something went on, monotonic
  std::uint64_t answered_ = 0;
};

}  // namespace tricorn::arbiter
