#include "arbiter/pace.h"

#include <algorithm>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kBusyPauseNs = 100 * kMs;
constexpr std::int64_t kIdlePauseNs = 250 * kMs;
constexpr std::int64_t kIdleAfterNs = 5000 * kMs;
// A request must be seen early in what it may take.
constexpr std::int64_t kTurnsPerLimit = 8;

}  // namespace

void Pace::note(bool busy, std::uint64_t answered, std::int64_t now_ns) {
  if (busy || answered != answered_) last_ns_ = now_ns;
  answered_ = answered;
}

std::int64_t Pace::pause_ns(std::int64_t limit_ns, std::int64_t now_ns) const {
  if (now_ns - last_ns_ < kIdleAfterNs) return kBusyPauseNs;
  if (limit_ns == 0) return kIdlePauseNs;
  return std::clamp(limit_ns / kTurnsPerLimit, kBusyPauseNs, kIdlePauseNs);
}

}  // namespace tricorn::arbiter
