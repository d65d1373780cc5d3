#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "diagnose/rules.h"
#include "diagnose/shares.h"

namespace tricorn::diagnose {
namespace {

/// Less of a request than this is not part of its turns. Source: our bound.
constexpr double kTurnPart = 0.1;
/// Times a second a thread goes to sleep, and its CPU, when it does not hang in one long wait.
/// Source: there it has 0, or wakes up by the clock and goes to sleep again, with 1 % of a CPU
constexpr double kSwitchesPerSecond = 1.5;
constexpr double kSomeCpu = 0.05;
/// Above what a driver that wakes up by the clock has. Source: psycopg looks for signals each 0.1 s
constexpr double kFastSwitchesPerSecond = 30;

bool holds(const Share& share, const ProcessLook* look) {
  return std::any_of(share.stretches.begin(), share.stretches.end(), [look](const Stretch* one) {
    return std::find(one->looks.begin(), one->looks.end(), look) != one->looks.end();
  });
}

double seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

std::string what_text(const RequestPhase& phase) {
  if (phase.cause != Cause::Unknown) return fmt::format("in {}", name_of(phase.cause));
  return phase.computes ? "computing" : "waiting";
}

/// "2.3 s in cpu.python at app.py:12 in compute"; without the place when it is that of the verdict.
std::string phase_text(const RequestPhase& phase, std::string_view place) {
  const bool tell = !phase.place.empty() && phase.place != place;
  return fmt::format("{:.1f} s {}{}", seconds(phase.ns), what_text(phase),
                     tell ? fmt::format(" at {} in {}", phase.place, phase.function) : "");
}

/// The request's shares, and what is asked of them again and again.
struct Shared {
  const Evidence& evidence;
  const Facts& facts;
  std::vector<Share> shares;
  std::int64_t seen_ns = 0;
  bool hangs_now = false;  ///< the last thing it does is one long wait

  [[nodiscard]] double part(const Share& share) const {
    return static_cast<double>(share.phase.ns) / static_cast<double>(seen_ns);
  }
  [[nodiscard]] bool notable(const Share& share) const { return part(share) >= kTurnPart; }
  /// Whether it goes back to what it did before.
  [[nodiscard]] bool takes_turns() const;
};

bool Shared::takes_turns() const {
  constexpr std::size_t kTurnsMin = 3;  // there and back
  std::vector<std::pair<const Stretch*, const Share*>> ordered;
  for (const Share& share : shares) {
    for (const Stretch* stretch : share.stretches) {
      if (notable(share)) ordered.emplace_back(stretch, &share);
    }
  }
  std::sort(ordered.begin(), ordered.end());  // stretches of one vector: by time
  const auto same = [](const auto& left, const auto& right) { return left.second == right.second; };
  return std::unique(ordered.begin(), ordered.end(), same) - ordered.begin() >=
         static_cast<std::ptrdiff_t>(kTurnsMin);
}

const Stretch& longest_of(const Share& share) {
  const auto shorter = [](const Stretch* left, const Stretch* right) {
    return left->ns < right->ns;
  };
  return **std::max_element(share.stretches.begin(), share.stretches.end(), shorter);
}

/// The verdict of a share, by the stretch that shows it best.
std::optional<Verdict> verdict_of_share(const Evidence& evidence, const Share& share) {
  std::vector<const Stretch*> order = {&longest_of(share)};
  order.insert(order.end(), share.stretches.rbegin(), share.stretches.rend());
  for (const Stretch* stretch : order) {
    const Evidence part = evidence_of(evidence, *stretch);
    auto told = judge_stretch(part, share.phase.ns);
    if (!told || told->cause != share.phase.cause) continue;
    if (told->place.empty()) {
      told->place = share.phase.place;
      told->function = share.phase.function;
    }
    if (told->hint.empty()) told->hint = hint_of(told->cause, part);
    return told;
  }
  return std::nullopt;
}

const Share* find(const Shared& shared, bool (*wanted)(const RequestPhase&)) {
  for (const Share& share : shared.shares) {
    if (shared.notable(share) && wanted(share.phase)) return &share;
  }
  return nullptr;
}

/// A retry: it calls out, gives up, sleeps, and calls again. Whom it called is the reason, also
/// when the looks saw it sleep somewhat more; but one that mostly sleeps polls for something.
std::optional<Verdict> judge_retry(const Shared& shared) {
  const Share* rest = find(shared, sleeps);
  const Share* call = find(shared, calls_out);
  if (rest == nullptr || call == nullptr) return std::nullopt;
  const bool tries =
      call->phase.cause == Cause::WaitConnect || call->phase.ns * 3 >= rest->phase.ns * 2;
  auto told = verdict_of_share(shared.evidence, tries ? *call : *rest);
  if (!told) return std::nullopt;
  const Share& other = tries ? *rest : *call;
  told->otherwise =
      tries ? fmt::format("then sleeps between tries, {:.1f} s in all", seconds(rest->phase.ns))
            : "in turns with " + phase_text(other.phase, told->place);
  if (!tries) told->peer = call->phase.peer;
  if (!tries && !call->phase.peer.empty()) told->otherwise += " for " + call->phase.peer;
  return told;
}

/// "60% wait.database for 127.0.0.1:5432 (PostgreSQL), 40% computing". What was computed is
/// counted, what was waited for is seen in the looks.
std::string parts_text(const Shared& shared) {
  std::int64_t waits_ns = 0;
  for (const Share& share : shared.shares) waits_ns += share.phase.computes ? 0 : share.phase.ns;
  const double waited = 1 - shared.facts.whole_busy;
  std::vector<std::pair<double, std::string>> parts = {{1 - waited, "computing"}};
  for (const Share& share : shared.shares) {
    if (share.phase.computes || !shared.notable(share)) continue;
    const double part = waited * seconds(share.phase.ns) / seconds(waits_ns);
    const std::string peer = share.phase.peer.empty() ? "" : " for " + share.phase.peer;
    parts.emplace_back(
        part,
        fmt::format("{}{}", waits_unknown(share.phase) ? "waiting" : name_of(share.phase.cause),
                    peer));
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& left, const auto& right) { return left.first > right.first; });
  std::string text;
  for (const auto& [part, what] : parts)
    text += fmt::format("{}{:.0f}% {}", text.empty() ? "" : ", ", part * 100, what);
  return text;
}

/// How often the thread gave up its CPU, over all that was seen; -1 not known.
std::int64_t switches_in(const Evidence& evidence) {
  const ProcessLook& first =
      evidence.samples.empty() ? evidence.looks.front() : evidence.samples.front();
  const std::int64_t before = serving(first)->switches;
  const std::int64_t after = serving(evidence.looks.back())->switches;
  return before < 0 || after < before ? -1 : after - before;
}

/// "8 waits of 0.26 s on average".
std::string waits_text(const Shared& shared, std::int64_t waits) {
  const double waited = seconds(shared.seen_ns) * (1 - shared.facts.whole_busy);
  const double mean = waited / static_cast<double>(waits);
  const std::string time = mean < 0.0001 ? fmt::format("{:.0f} us", mean * 1e6)
                           : mean < 0.1  ? fmt::format("{:.1f} ms", mean * 1000)
                                         : fmt::format("{:.2f} s", mean);
  return fmt::format("{} waits of {} on average", waits, time);
}

/// It calls, is answered, computes and calls again: no single call holds it up.
std::optional<Verdict> judge_loop(const Shared& shared) {
  constexpr std::int64_t kWaitsMin = 6;  // Source: our bound
  const Share* call = find(shared, calls_out);
  if (call == nullptr) {
    call = find(shared, waits_unknown);
    if (call != nullptr && !is_of_data(*call->stretches.back())) return std::nullopt;
  }
  const std::int64_t waits = switches_in(shared.evidence);
  const double busy = shared.facts.whole_busy;
  if (call == nullptr || find(shared, sleeps) != nullptr) return std::nullopt;
  if (waits < kWaitsMin || busy < kTurnPart || busy >= kBusyShare) return std::nullopt;
  if (shared.hangs_now) return std::nullopt;
  const RequestPhase& major = shared.shares.front().phase;
  Verdict verdict = verdict_of(
      Cause::TimeoutTooShort, Confidence::Likely,
      fmt::format("was advancing: {}, {}", waits_text(shared, waits), parts_text(shared)));
  verdict.place = major.place;
  verdict.function = major.function;
  verdict.peer = call->phase.peer;
  return verdict;
}

/// The verdict of the last looks with the time of all that was like them.
void count_all_of_it(const Shared& shared, const Share& now, Verdict& verdict) {
  Facts facts(shared.evidence);
  if (now.phase.computes || facts.waited_s >= seconds(now.phase.ns)) return;
  facts.waited_s = facts.ran_s = seconds(now.phase.ns);
  const auto again = first_verdict(facts);
  if (again && again->cause == verdict.cause) verdict.because = again->because;
}

/// What else took a notable part. @param now  the share the verdict is of
void add_the_other(const Shared& shared, const Share& now, bool turns, Verdict& verdict) {
  for (const Share& other : shared.shares) {
    const bool same = other.phase.cause == verdict.cause && other.phase.place == now.phase.place;
    const bool known =
        other.phase.computes || other.phase.cause != Cause::Unknown || !other.phase.place.empty();
    if (&other == &now || same || !known || shared.part(other) < kNotablePart) continue;
    verdict.otherwise = fmt::format("{} {}", turns ? "in turns with" : "before that",
                                    phase_text(other.phase, turns ? now.phase.place : ""));
    return;
  }
}

/// What was learnt of several threads stands: the samples are of one.
bool is_of_threads(const Evidence& evidence, const Verdict& verdict) {
  return evidence.delegate || verdict.cause == Cause::WaitGil ||
         verdict.cause == Cause::WaitDeadlock;
}

/// Takes the longest share for the verdict when the last one is short, or says nothing.
bool take_major(const Shared& shared, const Share& now, bool turns, Verdict& verdict) {
  const Share& major = shared.shares.front();
  const bool known = verdict.cause != Cause::Unknown;
  const bool stands = shared.part(now) >= kNotablePart && known;
  if (&major == &now || stands || shared.part(major) < kNotablePart) return false;
  auto told = verdict_of_share(shared.evidence, major);
  if (!told) return false;
  RequestPhase end = now.phase;
  if (known) end.cause = verdict.cause;
  const bool worth = seconds(end.ns) >= 0.1;
  if (turns) {
    add_the_other(shared, major, turns, *told);
  } else if (worth) {
    told->otherwise = "then " + phase_text(end, "");
  }
  verdict = *std::move(told);
  return true;
}

}  // namespace

void judge_shares(const Evidence& evidence, Verdict& verdict) {
  const auto stretches = stretches_of(evidence);
  const bool advanced =
      verdict.cause == Cause::TimeoutTooShort && verdict.confidence == Confidence::Likely;
  const bool known = verdict.cause != Cause::Unknown;
  if (stretches.empty() || (known && !advanced && !is_wait_or_cpu(verdict.cause))) return;
  const Facts facts(evidence);
  Shared shared{evidence, facts, shares_of(evidence, stretches)};
  for (const Stretch& stretch : stretches) shared.seen_ns += stretch.ns;
  shared.hangs_now = seconds(stretches.back().ns) >= kNotablePart * seconds(shared.seen_ns) &&
                     !(facts.switches_per_s >= kSwitchesPerSecond && facts.cpu >= kSomeCpu);
  // Hundreds of waits a second, each too short for two looks to see it and what is between them.
  const bool fast = facts.switches_per_s >= kFastSwitchesPerSecond;
  const bool turns = shared.takes_turns() || fast;
  const bool of_threads = is_of_threads(evidence, verdict);
  if (turns && !of_threads) {
    for (const auto rule : {judge_retry, judge_loop}) {
      if (auto told = rule(shared)) {
        verdict = *std::move(told);
        return;
      }
    }
  }
  if (advanced) return;
  const auto typical = std::find_if(shared.shares.begin(), shared.shares.end(),
                                    [&](const Share& share) { return holds(share, facts.last); });
  const auto last =
      std::find_if(shared.shares.begin(), shared.shares.end(),
                   [&](const Share& share) { return share.stretches.back() == &stretches.back(); });
  const Share& now = typical == shared.shares.end() ? *last : *typical;
  if (!of_threads && take_major(shared, now, turns, verdict)) return;
  if (!of_threads) count_all_of_it(shared, now, verdict);
  add_the_other(shared, now, turns, verdict);
}

}  // namespace tricorn::diagnose
