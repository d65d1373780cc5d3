#include <fmt/format.h>

#include <algorithm>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

/// Part of the time ready to run, yet not running, that is not the program's own doing.
/// Source: diagnosis.md section 4: 95 % when throttled, 100 % when starved; half is left to
/// neighbours.
constexpr double kHeldBackShare = 0.6;
/// Who gets more of a CPU than this computes, and would be late on an idle machine as well unless
/// his time-out is very short. Source: diagnosis.md section 4: 4 % when starved.
constexpr double kStarvedCpuShare = 0.25;
/// Less than this is no CPU at all.
constexpr double kNoCpuShare = 0.02;
/// Part of the quota's periods that must have been cut short. Source: the same, 116 of 121.
constexpr double kThrottledShare = 0.4;
/// Source: diagnosis.md section 5, memory.pressure: > 100 major faults/s and > 20 % off the CPU
/// (9602/s measured).
constexpr double kFaultsPerSecond = 100;
constexpr double kOffCpuShare = 0.2;
/// Less is enough where the limit was hit, or the kernel says that somebody waited for memory.
/// Source: tests/hangs memory_pressure, on a slow and on a fast disk.
constexpr double kPagingPerSecond = 20;
constexpr double kPagingShare = 0.3;
constexpr double kStallShare = 0.2;
/// Of pages of 4 KiB. A group that has room has none. Source: tests/hangs memory_pressure, 300,000.
constexpr double kRefaultsPerSecond = 500;
/// A hundred MiB a second: then it is enough that the request is one of those that wait for them,
/// as far as neighbours leave it a CPU to do so. Source: the same beside fuzzers, 18 faults/s.
constexpr double kRefaultsFlood = 25'000;
constexpr double kSomeFaultsPerSecond = 5;
/// Sleeps a second from which a thread tries something again and again. Source: our bound; backing
/// off for longer than a second is not told from one long sleep.
constexpr double kTriesPerSecond = 1;
/// An allocation that fails is rarely smaller than this part of what is allowed.
constexpr double kNearLimitShare = 0.95;

bool is_stopped(const ProcessLook& look) {
  return !look.threads.empty() && (look.threads[0].state == 'T' || look.threads[0].state == 't');
}

std::optional<Verdict> stopped(const Facts& facts) {
  const auto& looks = facts.evidence.looks;
  const bool frozen = std::all_of(looks.begin(), looks.end(),
                                  [](const ProcessLook& look) { return look.cgroup.frozen; });
  if (frozen)
    return verdict_of(Cause::SignalStopped, Confidence::Certain,
                      "was not allowed to run: its control group is frozen");
  if (!std::all_of(looks.begin(), looks.end(), is_stopped)) return std::nullopt;
  const pid_t tracer = looks.back().tracer;
  if (tracer != 0) {
    return verdict_of(Cause::SignalStopped, Confidence::Certain,
                      fmt::format("was stopped by the debugger pid {}", tracer));
  }
  return verdict_of(Cause::SignalStopped, Confidence::Certain,
                    "was not allowed to run: stopped by a signal (SIGSTOP)");
}

std::optional<Verdict> pressure(const Facts& facts) {
  if (facts.cpu > 1 - kOffCpuShare) return std::nullopt;
  const bool limit_hit = facts.rose(&CgroupCounters::memory_hits);
  const bool floods = facts.refaults_per_s >= kRefaultsFlood;
  const bool held_up = facts.fault_share >= kPagingShare ||
                       facts.faults_per_s >= (floods ? kSomeFaultsPerSecond : kPagingPerSecond);
  const bool stalls = facts.stall >= kStallShare && facts.fault_share >= kPagingShare;
  const bool thrashes =
      facts.faults_per_s >= kFaultsPerSecond && (facts.stall < 0 || facts.stall >= kStallShare / 2);
  const bool comes_back = facts.refaults_per_s >= kRefaultsPerSecond;
  if (!thrashes && !stalls && !((limit_hit || comes_back) && held_up)) return std::nullopt;
  return verdict_of(
      Cause::MemoryPressure, Confidence::Likely,
      fmt::format("spent its time bringing memory pages back: {:.0f} major page faults a second{}",
                  std::max(facts.faults_per_s, 0.0),
                  limit_hit ? ", the cgroup's memory limit was hit" : ""));
}

/// Pages of a mapped file, or of the program itself, that come from a slow disk.
std::optional<Verdict> paging(const Facts& facts) {
  if (facts.fault_share < kPagingShare || facts.cpu > 1 - kOffCpuShare) return std::nullopt;
  return verdict_of(
      Cause::WaitDisk, Confidence::Likely,
      fmt::format("waited for pages of a file to be read from the disk: {:.0f} major page faults a "
                  "second",
                  std::max(facts.faults_per_s, 0.0)));
}

/// The kernel counts a wait for the CPU when it is over: who got none has waited none by its count.
/// Source: Linux kernel/sched/stats.h, sched_info_arrive
bool never_ran(const Facts& facts) {
  const auto& looks = facts.evidence.looks;
  return facts.cpu >= 0 && facts.cpu < kNoCpuShare &&
         std::all_of(looks.begin(), looks.end(), [](const ProcessLook& look) {
           return !look.threads.empty() && look.threads[0].state == 'R';
         });
}

std::optional<Verdict> held_back(const Facts& facts) {
  if (facts.delay < kHeldBackShare && !never_ran(facts)) return std::nullopt;
  const double got_s = std::max(facts.cpu, 0.0) * facts.window_s;
  const std::string got = fmt::format("got {:.2f} s of CPU in {:.1f} s", got_s, facts.window_s);
  if (facts.throttled >= kThrottledShare) {
    return verdict_of(
        Cause::CpuThrottled, Confidence::Certain,
        fmt::format("{}: the cgroup's CPU quota ({:.3g} CPUs) stopped it in {:.0f}% of the periods",
                    got, facts.evidence.looks.back().cgroup.cpu_quota, facts.throttled * 100));
  }
  if (facts.cpu > kStarvedCpuShare) return std::nullopt;
  const std::string load =
      facts.evidence.load < 0
          ? ""
          : fmt::format(" (load {:.1f} on {} CPUs)", facts.evidence.load, facts.evidence.cpus);
  return verdict_of(
      Cause::CpuStarved, Confidence::Certain,
      fmt::format("{}: it was ready to run, other processes had the CPU{}", got, load));
}

/// Computes, or sleeps for a moment and then again: what it tries may be refused. Who sleeps in one
/// call waits for that.
bool tries_again(const Facts& facts) {
  return facts.busy() || (facts.call == Call::Sleep && facts.switches_per_s >= kTriesPerSecond);
}

/// Whether the thread was seen at the start of a process or thread.
bool starts_something(const Evidence& evidence) {
  const auto starts = [](const ProcessLook& look) {
    return !look.threads.empty() && is_start(look.threads[0].stack);
  };
  return std::any_of(evidence.looks.begin(), evidence.looks.end(), starts) ||
         std::any_of(evidence.samples.begin(), evidence.samples.end(), starts);
}

std::optional<Verdict> exhausted(const Facts& facts) {
  const auto& looks = facts.evidence.looks;
  const auto full = [](const ProcessLook& look) {
    return look.fd_limit > 0 && look.fds + 1 >= look.fd_limit;
  };
  if (std::all_of(looks.begin(), looks.end(), full)) {
    return verdict_of(
        Cause::FdExhaustion, Confidence::Certain,
        fmt::format("has {} of {} file descriptors open", looks.back().fds, looks.back().fd_limit));
  }
  // The counter is the whole group's: another thread, worker or program may have been refused.
  const bool asks = tries_again(facts) || starts_something(facts.evidence);
  if (asks && facts.rose(&CgroupCounters::pids_denied)) {
    return verdict_of(
        Cause::PidsExhaustion, Confidence::Certain,
        "the cgroup's limit of processes and threads refused new ones (pids.events max rose)");
  }
  const ProcessLook& last = looks.back();
  const auto space = static_cast<double>(last.address_space_limit);
  const bool near = space > 0 && static_cast<double>(last.virtual_bytes) >= space * kNearLimitShare;
  if (near && tries_again(facts)) {
    constexpr double kMib = 1024.0 * 1024.0;
    return verdict_of(Cause::MemoryLimit, Confidence::Likely,
                      fmt::format("has {:.0f} of the {:.0f} MiB of address space that ulimit -v "
                                  "allows: allocations fail",
                                  static_cast<double>(last.virtual_bytes) / kMib, space / kMib));
  }
  if (last.process_limit > 0 && facts.evidence.user_tasks >= last.process_limit) {
    return verdict_of(Cause::PidsExhaustion, Confidence::Certain,
                      fmt::format("its user has {} of {} processes and threads (ulimit -u)",
                                  facts.evidence.user_tasks, last.process_limit));
  }
  const auto& ports = facts.evidence.ports;
  if (ports && ports->range > 0 && ports->used * 10 >= ports->range * 9) {
    Verdict verdict = verdict_of(Cause::NetPortExhaustion, Confidence::Likely,
                                 fmt::format("{} of {} local ports are in use towards {}",
                                             ports->used, ports->range, ports->address));
    verdict.peer = ports->address;
    return verdict;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Verdict> judge_resources(const Facts& facts) {
  for (const auto rule : {stopped, pressure, held_back, exhausted, paging}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
