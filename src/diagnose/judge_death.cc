#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

constexpr double kMib = 1024.0 * 1024.0;

std::uint64_t rise(std::optional<std::uint64_t> before, std::optional<std::uint64_t> after) {
  return before && after && *after > *before ? *after - *before : 0;
}

/// Kills counted since the last look that no other worker has been given.
std::uint64_t unclaimed_oom_kills(const Death& death,
                                  std::optional<std::uint64_t> CgroupCounters::*counter) {
  const std::uint64_t total = rise(death.before.*counter, death.after.*counter);
  return total > death.oom_blamed ? total - death.oom_blamed : 0;
}

std::string last_memory(const Death& death) {
  if (death.last_rss_bytes == 0) return "";
  return fmt::format(", using {:.0f} MiB at the last look",
                     static_cast<double>(death.last_rss_bytes) / kMib);
}

/// The victim the kernel's log tells of, when it tells of any. @return null: another one
const OomVictim* named_victim(const Death& death, pid_t pid) {
  const auto is_it = [pid](const OomVictim& victim) { return victim.pid == pid; };
  const auto found = std::find_if(death.oom_victims.begin(), death.oom_victims.end(), is_it);
  return found == death.oom_victims.end() ? nullptr : &*found;
}

/// The counter rose, and the log names others only.
bool victim_was_another(const Death& death, pid_t pid) {
  return !death.oom_victims.empty() && named_victim(death, pid) == nullptr;
}

/// The counter tells that one of the group was killed, not which: a child of the application may
/// have been it.
Verdict own_group_oom(const Death& death, pid_t pid) {
  const std::uint64_t limit = death.before.memory_limit;
  const std::string where = limit == 0 ? ""
                                       : fmt::format(" at the cgroup's limit of {:.0f} MiB",
                                                     static_cast<double>(limit) / kMib);
  const std::string counter = fmt::format("(oom_kill {} -> {}){}", *death.before.oom_kill,
                                          *death.after.oom_kill, last_memory(death));
  if (death.had_children && named_victim(death, pid) == nullptr) {
    return verdict_of(Cause::MemoryOomKill, Confidence::Likely,
                      fmt::format("Probably out of memory: the kernel killed this worker or a "
                                  "child of it{} {}",
                                  where, counter));
  }
  return verdict_of(Cause::MemoryOomKill, Confidence::Certain,
                    fmt::format("Out of memory: killed by the kernel{} {}", where, counter));
}

Verdict host_oom(const Death& death) {
  return verdict_of(
      Cause::MemoryOomKill, Confidence::Likely,
      fmt::format("Probably out of memory: the machine's oom_kill rose ({} -> {}), the group's own "
                  "counter is not readable{}",
                  *death.before.host_oom_kill, *death.after.host_oom_kill, last_memory(death)));
}

std::string counter_text(const Death& death, pid_t pid) {
  if (!death.after.oom_kill || !death.before.oom_kill)
    return "the kernel's OOM counter is not readable";
  if (*death.after.oom_kill < *death.before.oom_kill)
    return "the kernel's OOM counter was not comparable";  // its group is not the one it was
  if (rise(death.before.oom_kill, death.after.oom_kill) > 0 && victim_was_another(death, pid)) {
    const OomVictim& victim = death.oom_victims.back();
    return fmt::format("the kernel's OOM counter rose for pid {} ({}), not for it", victim.pid,
                       victim.name);
  }
  if (rise(death.before.oom_kill, death.after.oom_kill) > 0)
    return "the kernel's OOM counter rose for other workers only";
  return "the kernel's OOM counter did not move";
}

/// Who else than a process may have sent a signal that names no sender.
const char* origin_of(int signal) {
  switch (signal) {
    case SIGALRM:
    case SIGVTALRM:
    case SIGPROF:
      return "the application's own timer (alarm, setitimer) or another process";
    case SIGXCPU:
      return "its limit of CPU time (ulimit -t) or another process";
    case SIGXFSZ:
      return "its limit of file size (ulimit -f) or another process";
    case SIGPIPE:
      return "a pipe or socket without a reader, or another process";
    default:
      return "another process, or the application itself";
  }
}

Verdict external_kill(const Evidence& evidence, int signal) {
  const Death& death = *evidence.death;
  std::string because;
  if (signal == SIGKILL) {
    because = fmt::format("Not by this server: kill -9, an agent, or the application itself; {}",
                          counter_text(death, evidence.pid));
  } else if (death.sender != 0) {
    because = fmt::format("From outside this server by pid {}", death.sender);
  } else {
    because = fmt::format("Not by this server: {}", origin_of(signal));
  }
  return verdict_of(Cause::SignalExternalKill, Confidence::Certain, because);
}

std::optional<Cause> crash_cause(int signal) {
  switch (signal) {
    case SIGSEGV:
      return Cause::CrashSegv;
    case SIGBUS:
      return Cause::CrashBus;
    case SIGILL:
      return Cause::CrashIll;
    case SIGFPE:
      return Cause::CrashFpe;
    case SIGABRT:
      return Cause::CrashAbort;
    default:
      return std::nullopt;
  }
}

Verdict crash(const Evidence& evidence, Cause cause) {
  const Death& death = *evidence.death;
  if (death.stack_overflow) {
    return verdict_of(
        Cause::CrashStackOverflow, Confidence::Certain,
        fmt::format("Stack overflow: address {:#x} lies below the thread's stack", death.address));
  }
  std::string because = cause == Cause::CrashAbort ? "abort() in the worker" : "Crashed";
  if (death.crash_signal == 0)
    return verdict_of(cause, Confidence::Certain, because + ", no details were left");
  const bool faulted = death.crash_code > 0 && death.crash_code != SI_KERNEL;
  if (cause != Cause::CrashAbort && faulted)
    because += fmt::format(", address {:#x}", death.address);
  if (cause != Cause::CrashAbort && death.crash_code <= 0)
    because += " (raised in the worker itself, by a handler or kill: no address)";
  if (!death.module.empty()) because += " in " + death.module;
  return verdict_of(cause, Confidence::Certain, because);
}

Verdict judge_signal(const Evidence& evidence, int signal) {
  const Death& death = *evidence.death;
  const bool another = victim_was_another(death, evidence.pid);
  if (signal == SIGKILL && !another && unclaimed_oom_kills(death, &CgroupCounters::oom_kill) > 0)
    return own_group_oom(death, evidence.pid);
  const bool own_unknown = !death.before.oom_kill || !death.after.oom_kill;
  if (signal == SIGKILL && own_unknown && !another &&
      unclaimed_oom_kills(death, &CgroupCounters::host_oom_kill) > 0) {
    return host_oom(death);
  }
  const bool sent_by_other = death.sender != 0 && death.sender != evidence.pid;
  const auto cause = crash_cause(signal);
  if (cause && !sent_by_other) return crash(evidence, *cause);
  return external_kill(evidence, signal);
}

Verdict judge_exit(const Evidence& evidence) {
  const Death& death = *evidence.death;
  if (!death.was_ready) {
    const std::string error = death.boot_error.empty() ? "" : ": " + death.boot_error;
    return verdict_of(Cause::BootFailure, Confidence::Certain,
                      fmt::format("It was not ready to serve yet{}", error));
  }
  if (death.asked_by == evidence.pid) {
    return verdict_of(Cause::SignalExternalKill, Confidence::Certain,
                      "Told to leave by a signal (INT, QUIT or TERM) that the application sent to "
                      "its own process");
  }
  if (death.asked_by != 0) {
    return verdict_of(Cause::SignalExternalKill, Confidence::Certain,
                      fmt::format("Told to leave by a signal of pid {}, from outside this server",
                                  death.asked_by));
  }
  const char* way = death.in_os_exit ? "os._exit" : "sys.exit, os._exit or C exit()";
  return verdict_of(Cause::ExitCode, Confidence::Certain, way);
}

}  // namespace

Verdict judge_death(const Evidence& evidence) {
  const Death& death = *evidence.death;
  if (death.ours) {
    const std::string by = fmt::format("By this server (pid:{})", evidence.arbiter);
    return verdict_of(Cause::KilledByUs, Confidence::Certain,
                      death.our_reason.empty() ? by : by + ", " + death.our_reason);
  }
  if (WIFSIGNALED(death.wait_status)) return judge_signal(evidence, WTERMSIG(death.wait_status));
  return judge_exit(evidence);
}

}  // namespace tricorn::diagnose
