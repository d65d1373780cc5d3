// What the rules ask of the evidence, computed once: shares of time, what the thread does, how it
// moved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/frames.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {

/// Numbers drawn from the looks. Shares are of wall time, 0..1, or -1 when they cannot be known.
struct Facts {
  explicit Facts(const Evidence& evidence);

  const Evidence& evidence;
  const ProcessLook* last = nullptr;   ///< the look that stands for all; null: there is none
  const ThreadLook* thread = nullptr;  ///< its serving thread
  Call call = Call::None;              ///< what that thread is blocked in
  double window_s = 0;                 ///< between the first and the last look that are compared
  double cpu = -1;
  double whole_cpu = -1;       ///< `cpu` since the first sample
  double whole_busy = -1;      ///< the same with the time it was ready for a CPU
  double ran_s = 0;            ///< on the CPU or ready for it, as far as was seen
  double delay = -1;           ///< runnable, but not let on a CPU
  double faults_per_s = -1;    ///< major page faults
  double switches_per_s = -1;  ///< times the thread went to sleep
  bool moved = false;          ///< lines or instructions change again and again
  bool spins = false;          ///< a loop of nothing but its jump: it stands still and is Python
  double gil_share = 0;        ///< part of the looks in which the thread holds the GIL
  double free_share = -1;      ///< part of all looks that saw it run in which it had let the GIL
                               ///< go; -1: too few
  double gil_wait_share = 0;   ///< part in which it waits for it
  double gc_share = 0;         ///< part in which the collector runs
  double waited_s = 0;         ///< how long it has been seen in this call at this place
  double throttled = -1;       ///< part of the quota's periods in which it was stopped
  double fault_share = 0;      ///< part of the looks in which it waits for a page of memory
  double refaults_per_s = -1;  ///< pages brought back that were there a moment ago
  double stall = -1;  ///< part of the time in which somebody in the group waited for memory

  [[nodiscard]] bool asleep() const;  ///< blocked in the same call in most looks
  [[nodiscard]] bool busy() const;    ///< on the CPU or queueing for it nearly all the time
  void note_whole_request();
  /// Whether a counter rose between the first and the last look that have it.
  [[nodiscard]] bool rose(std::optional<std::uint64_t> CgroupCounters::*counter) const;
  [[nodiscard]] const Stack& stack() const;
  /// The thread in the look that stands for all; null: it is not there.
  [[nodiscard]] const ThreadLook* thread_of(std::uint64_t tstate) const;
  /// What a thread waits for in the last look; null: for no lock that is known.
  [[nodiscard]] const LockWait* lock_wait_of(std::uint64_t tstate) const;
};

/// The thread that serves the request; null: the look has no threads.
[[nodiscard]] const ThreadLook* serving(const ProcessLook& look);

/// Samples and looks that have a serving thread, oldest first: the two overlap in time.
[[nodiscard]] std::vector<const ProcessLook*> in_order(const Evidence& evidence);

/// The serving thread's stack whose place was seen most often, the youngest of those: a loop is at
/// another line in each look. One that does not begin where most do was torn as it was read, and
/// counts only where there is no other. @return null: no look has a stack
[[nodiscard]] const Stack* stack_seen_most(const std::vector<const ProcessLook*>& looks);

/// How many of the quick looks saw the thread at a later moment of its own than the look before.
/// One that has no CPU stands still whatever it computes, so the others do not count.
[[nodiscard]] std::size_t looks_while_running(const Evidence& evidence);

/// So many of those show that a thread stands still. Source: our bound; a loop that is in one of
/// its bytecodes half of the time is there in all of them once in 65,000.
inline constexpr std::size_t kRunningLooks = 16;

/// Whether two looks are of one wait: the same call from the same place. A wait that is repeated
/// deeper and deeper, as a retry is, is one.
[[nodiscard]] bool same_wait(const ThreadLook& left, const ThreadLook& right);

/// Share of wall time, on the CPU or ready for it, from which a thread counts as busy.
/// Source: diagnosis.md section 4: 100 % in every CPU hang, 0 % in every wait, 51 % under memory
/// pressure
inline constexpr double kBusyShare = 0.7;

}  // namespace tricorn::diagnose
