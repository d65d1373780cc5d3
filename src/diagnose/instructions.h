// Which machine code a busy thread of another process runs: the kernel notes its instruction
// pointer every millisecond it has a CPU. Nothing is stopped. Decision 0016.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace tricorn::diagnose {

/// Of one thread, for a quarter of a second of its CPU time at most. One thread at a time.
class InstructionSampler {
 public:
  /// Begins, and returns at once: perf_event_open(2) may take tens of milliseconds, so a thread of
  /// its own waits for it. Source: kernel/events/core.c, account_event(): synchronize_rcu()
  explicit InstructionSampler(pid_t tid);
  /// Ends it.
  ~InstructionSampler();
  InstructionSampler(const InstructionSampler&) = delete;
  InstructionSampler& operator=(const InstructionSampler&) = delete;

  /// Instructions in user space, oldest first.
  /// @return nothing when the kernel does not let us (perf_event_paranoid 3, a seccomp filter), or
  /// has not yet
  [[nodiscard]] std::optional<std::vector<std::uint64_t>> seen() const;

 private:
  struct Event;
  std::shared_ptr<Event> event_;  // also the opening thread's, which may outlive us
};

}  // namespace tricorn::diagnose
