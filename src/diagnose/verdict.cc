#include "diagnose/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

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

/// Names a stack's place, and beside it what was compiled from it or its innermost frame.
void take_place(const Stack& stack, const Evidence& evidence, Verdict& verdict) {
  const PythonFrame* frame = source_place_in(stack);
  if (frame == nullptr || !verdict.place.empty()) return;
  verdict.place = place_text(*frame, evidence.app_directory);
  verdict.function = frame->function;
  if (frame == &stack.front()) return;
  const PythonFrame* own = place_in(stack);
  const bool in_template = own != frame;
  const PythonFrame& inner = in_template ? *own : stack.front();
  verdict.innermost = fmt::format(
      "{} {}", in_template ? place_text(inner, evidence.app_directory) : library_text(inner),
      inner.function);
}

/// What the request waits for is being done by another thread of the worker: what that one does is
/// the reason. Each look is turned so that this thread is the first.
std::optional<Verdict> judge_delegate(const Facts& facts) {
  const auto& delegate = facts.evidence.delegate;
  if (!delegate || !facts.asleep()) return std::nullopt;
  Evidence turned = facts.evidence;
  turned.samples.clear();  // they have only the serving thread
  turned.quick.clear();
  turned.peer = delegate->peer;
  turned.delegate.reset();
  turned.handling.clear();
  turned.contended.reset();
  for (ProcessLook& look : turned.looks) {
    const auto done_by =
        std::find_if(look.threads.begin(), look.threads.end(),
                     [&](const ThreadLook& other) { return other.tstate == delegate->tstate; });
    if (done_by == look.threads.end()) return std::nullopt;
    // Of an event loop that waits, the coroutine that is waited for: it runs others too.
    if (!delegate->stack.empty() && is_waiting_event_loop(done_by->stack))
      done_by->stack = delegate->stack;
    std::iter_swap(look.threads.begin(), done_by);
  }
  Facts inner(turned);
  inner.waited_s = std::max(inner.waited_s, facts.waited_s);
  inner.ran_s = facts.waited_s;
  auto verdict = first_verdict(inner);
  if (!verdict) return std::nullopt;
  // Threads of one package have work of their own too: only whom they wait for is told.
  if (!delegate->package.empty() && !calls_out(verdict->cause)) return std::nullopt;
  const std::string whose = delegate->package.empty() ? "" : " of " + delegate->package;
  verdict->because +=
      fmt::format(" (in thread {}{}, which it waits for)", inner.thread->tid, whose);
  const Stack& done = inner.thread->stack;
  const bool own =
      turned.asked.empty() || (delegate->package.empty() && has_application_code(done));
  take_place(own ? done : turned.asked, turned, *verdict);
  return verdict;
}

Verdict judge_living(const Facts& facts) {
  constexpr std::size_t kLooksMin = 2;
  if (facts.evidence.looks.size() < kLooksMin || facts.thread == nullptr) {
    return verdict_of(Cause::Unknown, Confidence::Likely,
                      fmt::format("{} looks taken, 2 needed", facts.evidence.looks.size()));
  }
  if (auto verdict = first_verdict(facts)) return std::move(*verdict);
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

const Stack* hottest(const Evidence& evidence) {
  std::vector<const ProcessLook*> all;
  for (const auto* looks : {&evidence.samples, &evidence.looks}) {
    for (const ProcessLook& look : *looks) all.push_back(&look);
  }
  return stack_seen_most(all);
}

/// What goes on from line to line is placed where it was seen most.
bool is_loop(const Evidence& evidence, Cause cause) {
  return cause == Cause::CpuPython || (cause == Cause::CpuNativeNogil && Facts(evidence).moved);
}

void name_the_place(const Evidence& evidence, Verdict& verdict) {
  const Stack* hot = is_loop(evidence, verdict.cause) ? hottest(evidence) : nullptr;
  const Stack& stack = hot == nullptr ? last_stack(evidence) : *hot;
  // A module that is not there has no line of the application's to blame.
  if (verdict.cause == Cause::BootFailure && !has_application_code(stack)) return;
  Stack done = stack;  // without who waits for the coroutine that asked for it
  if (const std::size_t frames = sent_back_by_coroutine(stack); frames != 0) done.resize(frames);
  const bool own = has_application_code(done) || evidence.asked.empty();
  take_place(own ? stack : evidence.asked, evidence, verdict);
}

/// Not its own trouble as far as was seen, but worth a look.
void tell_refusals(const Facts& facts, Verdict& verdict) {
  if (verdict.cause == Cause::PidsExhaustion || !facts.rose(&CgroupCounters::pids_denied)) return;
  verdict.otherwise += verdict.otherwise.empty() ? "" : "; ";
  verdict.otherwise += "meanwhile the cgroup's limit of processes and threads refused new ones";
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
  // Of the whole request: it may have computed before it began to wait.
  if (facts.whole_busy >= 0 && facts.whole_busy < kNotablePart && !facts.busy())
    add(Cause::CpuPython, fmt::format("CPU {:.0f}%", facts.whole_cpu * 100));
  if (facts.throttled >= 0 && facts.throttled < 0.1)
    add(Cause::CpuThrottled, fmt::format("{:.0f}% of periods", facts.throttled * 100));
}

}  // namespace

bool calls_out(Cause cause) {
  return cause == Cause::WaitNetwork || cause == Cause::WaitConnect || cause == Cause::WaitDns ||
         cause == Cause::WaitDatabase;
}

std::optional<Verdict> first_verdict(const Facts& facts) {
  for (const auto group : {judge_resources, judge_client, judge_delegate, judge_idiom, judge_wait,
                           judge_threads, judge_cpu}) {
    if (auto verdict = group(facts)) return verdict;
  }
  return std::nullopt;
}

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
  if (!evidence.death) {
    if (boots(evidence)) {
      call_it_a_boot(verdict);
    } else {
      judge_shares(evidence, verdict);
      tell_refusals(facts, verdict);
    }
  }
  name_the_place(evidence, verdict);
  add_not_causes(facts, verdict);
  if (verdict.hint.empty()) verdict.hint = hint_of(verdict.cause, evidence);
  return verdict;
}

std::string_view name_of(Confidence confidence) {
  return confidence == Confidence::Certain ? "certain" : "likely";
}

}  // namespace tricorn::diagnose
