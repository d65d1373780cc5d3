#include "diagnose/phases.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "diagnose/peer.h"
#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

/// Time in which the thread had a CPU or was ready for one; -1 not readable.
std::int64_t busy_ns(const ProcessLook& before, const ProcessLook& after) {
  const ThreadLook& left = *serving(before);
  const ThreadLook& right = *serving(after);
  if (left.cpu_ns < 0 || right.cpu_ns < left.cpu_ns) return -1;
  const std::int64_t ready = right.run_delay_ns - left.run_delay_ns;
  const bool delays = left.run_delay_ns >= 0 && ready > 0;
  return std::min(after.at_ns - before.at_ns, right.cpu_ns - left.cpu_ns + (delays ? ready : 0));
}

/// Which of the two a look was: one moment is outvoted by the counters before and after it.
bool computes_at(const std::vector<const ProcessLook*>& all, std::size_t i) {
  constexpr std::int64_t kCountedNs = 20'000'000;  // the kernel's clock ticks each 1 to 10 ms
  const bool runs = serving(*all[i])->state == 'R';
  if (i == 0 || i + 1 == all.size()) return runs;
  const auto share = [&](std::size_t from) {
    const std::int64_t time = all[from + 1]->at_ns - all[from]->at_ns;
    const std::int64_t busy = busy_ns(*all[from], *all[from + 1]);
    return time < kCountedNs || busy < 0 ? -1
                                         : static_cast<double>(busy) / static_cast<double>(time);
  };
  const double before = share(i - 1);
  const double after = share(i);
  if (before < 0 || after < 0) return runs;
  if (runs) return std::max(before, after) >= 1 - kBusyShare;
  return std::min(before, after) >= kBusyShare;
}

/// Moves the time between two stretches' looks to the one it belongs to.
void share_gap(Stretch& left, Stretch& right) {
  const ProcessLook& before = *left.looks.back();
  const ProcessLook& after = *right.looks.front();
  const std::int64_t gap = after.at_ns - before.at_ns;
  const std::int64_t busy = busy_ns(before, after);
  std::int64_t to_left = gap / 2;
  if (left.computes != right.computes && busy >= 0) to_left = left.computes ? busy : gap - busy;
  left.ns += to_left;
  right.ns += gap - to_left;
}

const PythonFrame* place_of(const Stretch& stretch) {
  const Stack* stack = stack_seen_most(stretch.looks);
  return stack == nullptr ? nullptr : source_place_in(*stack);
}

}  // namespace

std::vector<Stretch> stretches_of(const Evidence& evidence) {
  std::vector<Stretch> stretches;
  const auto all = in_order(evidence);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool computes = computes_at(all, i);
    Stretch* last = stretches.empty() ? nullptr : &stretches.back();
    // Running for a moment, between two waits that the counters show to be one.
    const bool blip = !computes && serving(*all[i])->state == 'R';
    const bool same =
        last != nullptr && last->computes == computes &&
        (computes || blip || same_wait(*serving(*last->looks.back()), *serving(*all[i])));
    // Such moments with nothing before them are of the wait that they are followed by.
    const bool joins = last != nullptr && !computes && !last->computes && !blip &&
                       serving(*last->looks.back())->state == 'R';
    if (joins) {
      last->ns += all[i]->at_ns - last->looks.back()->at_ns;
      last->looks = {all[i]};
      continue;
    }
    if (same) {
      if (blip) continue;
      last->ns += all[i]->at_ns - last->looks.back()->at_ns;
      last->looks.push_back(all[i]);
      continue;
    }
    stretches.push_back({computes, {all[i]}, 0});
    if (stretches.size() > 1) share_gap(stretches[stretches.size() - 2], stretches.back());
  }
  return stretches;
}

Evidence evidence_of(const Evidence& whole, const Stretch& stretch) {
  Evidence part;
  part.pid = whole.pid;
  part.arbiter = whole.arbiter;
  part.app_directory = whole.app_directory;
  part.request = whole.request;
  part.life = whole.life;
  part.phase = stretch.looks.back()->phase;
  part.running_ns = whole.running_ns;
  part.timeout_ns = whole.timeout_ns;
  part.load = whole.load;
  part.cpus = whole.cpus;
  for (const ProcessLook* look : stretch.looks) {
    ProcessLook& copy = part.looks.emplace_back(*look);
    copy.threads.resize(1);
    copy.full = false;
    if (look->peer) part.peer = look->peer;
  }
  if (whole.looks.empty()) return part;
  const auto& looks = stretch.looks;
  const bool blocked =
      std::find(looks.begin(), looks.end(), &youngest_blocked(whole.looks)) != looks.end();
  if (blocked && whole.peer) part.peer = whole.peer;
  if (looks.back() != &whole.looks.back()) return part;
  part.quick = whole.quick;
  part.native = whole.native;
  return part;
}

bool is_wait_or_cpu(Cause cause) {
  const std::string_view name = name_of(cause);
  return name.starts_with("wait.") || cause == Cause::CpuPython || cause == Cause::CpuNativeGil ||
         cause == Cause::CpuNativeNogil || cause == Cause::GcPause;
}

std::optional<Verdict> judge_stretch(const Evidence& part, std::int64_t ns) {
  Facts facts(part);
  facts.waited_s = facts.ran_s = static_cast<double>(ns) / 1e9;
  auto verdict = first_verdict(facts);
  if (!verdict || !is_wait_or_cpu(verdict->cause)) return std::nullopt;
  // A loop may be at the same bytecode in some samples by chance; only quick looks can tell.
  const bool native =
      verdict->cause == Cause::CpuNativeGil || verdict->cause == Cause::CpuNativeNogil;
  if (native && part.quick.empty()) return std::nullopt;
  return verdict;
}

RequestPhase phase_of(const Evidence& evidence, const Stretch& stretch) {
  RequestPhase phase;
  phase.computes = stretch.computes;
  phase.ns = stretch.ns;
  if (const auto verdict = judge_stretch(evidence_of(evidence, stretch), stretch.ns)) {
    phase.cause = verdict->cause;
    phase.peer = verdict->peer;
  }
  if (const PythonFrame* frame = place_of(stretch)) {
    phase.place = place_text(*frame, evidence.app_directory);
    phase.function = frame->function;
  }
  return phase;
}

std::vector<RequestPhase> phases_of(const Evidence& evidence) {
  constexpr std::int64_t kSmallestPart = 100;
  std::vector<RequestPhase> phases;
  std::int64_t seen_ns = 0;
  const auto stretches = stretches_of(evidence);
  for (const Stretch& stretch : stretches) seen_ns += stretch.ns;
  for (const Stretch& stretch : stretches) {
    if (stretch.ns * kSmallestPart < seen_ns) continue;
    RequestPhase phase = phase_of(evidence, stretch);
    RequestPhase* last = phases.empty() ? nullptr : &phases.back();
    const bool goes_on = last != nullptr && last->cause == phase.cause &&
                         last->computes == phase.computes && last->place == phase.place;
    if (goes_on) {
      last->ns += phase.ns;
    } else {
      phases.push_back(std::move(phase));
    }
  }
  return phases;
}

}  // namespace tricorn::diagnose
