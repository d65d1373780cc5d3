// Notices that more work comes than the app threads take: a judgement over time, without clock and
// sockets, which arbiter/supervise feeds.
#pragma once

#include <cstdint>

namespace tricorn::arbiter {

/// What was counted at one moment.
struct Load {
  bool all_busy = false;       ///< no worker has an app thread free
  std::uint64_t waiting = 0;   ///< connections and requests that nobody serves yet
  std::uint64_t answered = 0;  ///< requests of all workers since their start
};

class OverloadWatch {
 public:
  /// How long it must last before it is told, and how long until it is told again.
  static constexpr std::int64_t kLastsNs = 2'000'000'000;
  static constexpr std::int64_t kAgainNs = 30'000'000'000;
  /// What one that comes now would wait, from which it is an overload and not a full house that is
  /// served fast.
  static constexpr std::int64_t kWaitNs = 1'000'000'000;

  /// @return whether the overload is to be told now
  [[nodiscard]] bool note(const Load& load, std::int64_t now_ns);
  /// How long it has lasted.
  [[nodiscard]] std::int64_t lasts_ns(std::int64_t now_ns) const { return now_ns - since_ns_; }

 private:
  std::int64_t since_ns_ = 0;  // 0: there is none
  std::uint64_t answered_then_ = 0;
  std::int64_t told_ns_ = 0;  // 0: never
};

}  // namespace tricorn::arbiter
