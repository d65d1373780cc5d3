// Time as the supervisor and the worker see it.
#pragma once

#include <ctime>

#include <chrono>
#include <cstdint>

namespace tricorn::base {

/// CLOCK_MONOTONIC in nanoseconds. It does not advance while the machine is suspended and is the
/// same in every process, so a worker's stamps can be compared by the arbiter. ~20 ns (vDSO).
/// Source: clock_gettime(2).
[[nodiscard]] inline std::int64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Where a component takes its time from, so that tests can move it (see FakeClock in tests).
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::int64_t now_ns() const = 0;  ///< monotonic, nanoseconds
};

/// The machine's monotonic clock.
class MonotonicClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_ns() const override { return monotonic_ns(); }
};

/// A clock that stands still until a test advances it.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_ns() const override { return now_ns_; }
  void advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::int64_t now_ns_ = 1'000'000'000;
};

}  // namespace tricorn::base
