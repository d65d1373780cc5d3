#include "diagnose/verdict.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

#include "diagnose/report.h"
#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using heartbeat::Life;

/// What was seen, for the verdict that draws no conclusion from it.
std::string raw_look(const Facts& facts) {
  if (facts.thread == nullptr)
    return fmt::format("{} looks taken, 2 needed", facts.evidence.looks.size());
  const ThreadLook& thread = *facts.thread;
  const std::string wchan = thread.wchan.empty() ? "" : fmt::format(" in {}", thread.wchan);
  const std::string call =
      thread.syscall < 0 ? "" : fmt::format(", system call {}", thread.syscall);
  const std::string cpu =
      facts.cpu < 0 ? ", CPU not readable" : fmt::format(", CPU {:.0f}%", facts.cpu * 100);
  const char* python = facts.last->python_readable ? "" : ", Python stack not readable";
  return fmt::format("no rule holds; state {}{}{}{}{}", thread.state, wchan, call, cpu, python);
}

Verdict judge_living(const Facts& facts) {
  constexpr std::size_t kLooksMin = 2;
  if (facts.evidence.looks.size() < kLooksMin || facts.thread == nullptr) {
    return verdict_of(Cause::Unknown, Confidence::Likely,
                      fmt::format("{} looks taken, 2 needed", facts.evidence.looks.size()));
  }
  for (const auto group : {judge_resources, judge_client, judge_wait, judge_cpu}) {
    if (auto verdict = group(facts)) return std::move(*verdict);
  }
  return verdict_of(Cause::Unknown, Confidence::Likely, raw_look(facts));
}

bool boots(const Evidence& evidence) {
  return evidence.life == Life::Forked || evidence.life == Life::Booting;
}

/// A boot that hangs is a slow boot; what it hangs in is the reason.
void call_it_a_boot(Verdict& verdict) {
  verdict.because =
      fmt::format("the boot is not over; {}: {}", name_of(verdict.cause), verdict.because);
  verdict.cause = Cause::BootSlow;
}

/// The stack whose place was seen most often: a loop is at another line in each look.
const Stack* hottest(const Evidence& evidence) {
  std::map<std::string, int> seen;
  const Stack* best = nullptr;
  int most = 0;
  for (const auto* looks : {&evidence.samples, &evidence.looks}) {
    for (const ProcessLook& look : *looks) {
      if (look.threads.empty() || look.threads[0].stack.empty()) continue;
      const Stack& stack = look.threads[0].stack;
      const int count = ++seen[place_text(*place_in(stack), evidence.app_directory)];
      if (count < most) continue;
      most = count;
      best = &stack;
    }
  }
  return best;
}

void name_the_place(const Evidence& evidence, Verdict& verdict) {
  const Stack* hot = verdict.cause == Cause::CpuPython ? hottest(evidence) : nullptr;
  const Stack& stack = hot == nullptr ? last_stack(evidence) : *hot;
  const PythonFrame* frame = place_in(stack);
  if (frame == nullptr || !verdict.place.empty()) return;
  // A module that is not there has no line of the application's to blame.
  if (verdict.cause == Cause::BootFailure && !has_application_code(stack)) return;
  verdict.place = place_text(*frame, evidence.app_directory);
  verdict.function = frame->function;
  if (frame == &stack.front()) return;
  verdict.innermost = fmt::format("{} {}", place_text(stack.front(), ""), stack.front().function);
}

std::string counter_pair(std::optional<std::uint64_t> before, std::optional<std::uint64_t> after) {
  const auto text = [](std::optional<std::uint64_t> value) {
    return value ? fmt::format("{}", *value) : "not readable";
  };
  return fmt::format("{} -> {}", text(before), text(after));
}

/// What the counters ruled out, so that nobody has to suspect it.
void add_not_causes(const Facts& facts, Verdict& verdict) {
  const Evidence& evidence = facts.evidence;
  const auto add = [&](Cause cause, const std::string& why) {
    if (verdict.cause != cause)
      verdict.not_causes.push_back(fmt::format("{}: {}", name_of(cause), why));
  };
  const auto& first = evidence.samples.empty() ? evidence.looks : evidence.samples;
  if (evidence.death) {
    add(Cause::MemoryOomKill, "oom_kill " + counter_pair(evidence.death->before.oom_kill,
                                                         evidence.death->after.oom_kill));
  } else if (!first.empty() && !evidence.looks.empty()) {
    add(Cause::MemoryOomKill, "oom_kill " + counter_pair(first.front().cgroup.oom_kill,
                                                         evidence.looks.back().cgroup.oom_kill));
  }
  if (facts.cpu >= 0 && !facts.busy())
    add(Cause::CpuPython, fmt::format("CPU {:.0f}%", facts.cpu * 100));
  if (facts.throttled >= 0 && facts.throttled < 0.1)
    add(Cause::CpuThrottled, fmt::format("{:.0f}% of periods", facts.throttled * 100));
}

}  // namespace

Verdict verdict_of(Cause cause, Confidence confidence, std::string because) {
  Verdict verdict;
  verdict.cause = cause;
  verdict.confidence = confidence;
  verdict.because = std::move(because);
  return verdict;
}

std::string peer_text(const Peer& peer) {
  const std::string address = peer.address.empty() ? "a local socket" : peer.address;
  return peer.service.empty() ? address : fmt::format("{} ({})", address, peer.service);
}

Verdict decide(const Evidence& evidence) {
  const Facts facts(evidence);
  Verdict verdict = evidence.death ? judge_death(evidence) : judge_living(facts);
  if (!evidence.death && boots(evidence)) call_it_a_boot(verdict);
  name_the_place(evidence, verdict);
  add_not_causes(facts, verdict);
  return verdict;
}

std::string_view name_of(Cause cause) {
  switch (cause) {
    case Cause::MemoryOomKill:
      return "memory.oom_kill";
    case Cause::SignalExternalKill:
      return "signal.external_kill";
    case Cause::CrashSegv:
      return "crash.segv";
    case Cause::CrashBus:
      return "crash.bus";
    case Cause::CrashIll:
      return "crash.ill";
    case Cause::CrashFpe:
      return "crash.fpe";
    case Cause::CrashAbort:
      return "crash.abort";
    case Cause::CrashStackOverflow:
      return "crash.stack_overflow";
    case Cause::ExitCode:
      return "exit.code";
    case Cause::BootFailure:
      return "boot.failure";
    case Cause::KilledByUs:
      return "signal.own_kill";
    case Cause::SignalStopped:
      return "signal.stopped";
    case Cause::MemoryPressure:
      return "memory.pressure";
    case Cause::CpuThrottled:
      return "cpu.throttled";
    case Cause::CpuStarved:
      return "cpu.starved";
    case Cause::FdExhaustion:
      return "fd.exhaustion";
    case Cause::PidsExhaustion:
      return "pids.exhaustion";
    case Cause::NetPortExhaustion:
      return "net.port_exhaustion";
    case Cause::ClientSlowUpload:
      return "client.slow_upload";
    case Cause::ClientSlowRead:
      return "client.slow_read";
    case Cause::TimeoutTooShort:
      return "timeout.too_short";
    case Cause::WaitGil:
      return "wait.gil";
    case Cause::WaitSleep:
      return "wait.sleep";
    case Cause::WaitNetwork:
      return "wait.network";
    case Cause::WaitConnect:
      return "wait.connect";
    case Cause::WaitDns:
      return "wait.dns";
    case Cause::WaitDatabase:
      return "wait.database";
    case Cause::WaitLock:
      return "wait.lock";
    case Cause::WaitQueue:
      return "wait.queue";
    case Cause::WaitDeadlock:
      return "wait.deadlock";
    case Cause::WaitSubprocess:
      return "wait.subprocess";
    case Cause::WaitFileLock:
      return "wait.file_lock";
    case Cause::WaitPipe:
      return "wait.pipe";
    case Cause::WaitDisk:
      return "wait.disk";
    case Cause::GcPause:
      return "gc.pause";
    case Cause::CpuPython:
      return "cpu.python";
    case Cause::CpuNativeGil:
      return "cpu.native_gil";
    case Cause::CpuNativeNogil:
      return "cpu.native_nogil";
    case Cause::BootSlow:
      return "boot.slow";
    case Cause::Unknown:
      return "unknown";
  }
  return "unknown";
}

std::string_view name_of(Confidence confidence) {
  return confidence == Confidence::Certain ? "certain" : "likely";
}

int status_of(Cause cause) {
  const std::string_view name = name_of(cause);
  if (cause == Cause::ClientSlowUpload) return 408;
  if (name.starts_with("wait.") || name.starts_with("timeout.") || name.starts_with("client."))
    return 504;
  for (const std::string_view group : {"memory.", "fd.", "pids.", "net."}) {
    if (name.starts_with(group)) return 503;
  }
  if (cause == Cause::CpuThrottled || cause == Cause::CpuStarved || cause == Cause::SignalStopped)
    return 503;
  return 500;
}

}  // namespace tricorn::diagnose
