// How busy the app threads have been: what advice on workers and threads rests on.
#pragma once

#include <sys/types.h>
#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "arbiter/worker_process.h"

namespace tricorn::arbiter {

/// One period.
struct LoadPeriod {
  std::int64_t began_ns = 0;
  std::uint64_t readings = 0;
  std::uint64_t busy = 0;     ///< busy threads, summed over the readings
  std::uint64_t threads = 0;  ///< all threads of ready workers, summed likewise
  unsigned busy_max = 0;
  unsigned full = 0;  ///< readings with every thread busy
};

/// Of all ready workers at one moment.
struct ThreadsInUse {
  unsigned busy = 0;
  unsigned all = 0;
  std::uint64_t answered = 0;  ///< requests since their boots
};
[[nodiscard]] ThreadsInUse count_threads(
    const std::map<pid_t, std::unique_ptr<WorkerProcess>>& workers);

class LoadHistory {
 public:
  /// Counts once for each tenth of a second since the last time, at most a second.
  void note(const ThreadsInUse& threads, std::int64_t now_ns);
  /// Of the last hour, or since the start.
  [[nodiscard]] LoadPeriod lately() const;

 private:
  static constexpr std::size_t kPeriods = 60;
  std::array<LoadPeriod, kPeriods> minutes_{};
  std::size_t at_ = 0;
  std::int64_t last_ns_ = 0;
};

}  // namespace tricorn::arbiter
