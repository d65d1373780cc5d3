#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using heartbeat::Phase;

double silent_seconds(const Evidence& evidence) {
  return static_cast<double>(std::max<std::int64_t>(evidence.silent_ns, 0)) / 1e9;
}

bool in_phase(const Facts& facts, Phase phase) {
  const auto& looks = facts.evidence.looks;
  return facts.evidence.phase == phase &&
         std::all_of(looks.begin(), looks.end(),
                     [phase](const ProcessLook& look) { return look.phase == phase; });
}

std::string client_text(const Evidence& evidence) {
  return evidence.client.empty() ? "the client" : "the client " + evidence.client;
}

std::optional<Verdict> slow_client(const Facts& facts) {
  const Evidence& evidence = facts.evidence;
  const bool reads_socket = evidence.peer && evidence.peer->client && facts.asleep();
  if (in_phase(facts, Phase::ReadingBody) || (reads_socket && facts.call == Call::Receive)) {
    return verdict_of(
        Cause::ClientSlowUpload, Confidence::Certain,
        fmt::format("waited for the body from {}: {} bytes so far, the last {:.1f} s ago",
                    client_text(evidence), evidence.bytes_in, silent_seconds(evidence)));
  }
  if (in_phase(facts, Phase::Writing) || (reads_socket && facts.call == Call::Send)) {
    return verdict_of(
        Cause::ClientSlowRead, Confidence::Certain,
        fmt::format(
            "waited for {} to read the response: {} bytes taken so far, the last {:.1f} s ago",
            client_text(evidence), evidence.bytes_out, silent_seconds(evidence)));
  }
  return std::nullopt;
}

/// How many times response bytes were seen to have moved.
int advances(const Evidence& evidence) {
  int count = 0;
  std::uint64_t bytes = 0;
  const auto note = [&](const ProcessLook& look) {
    if (look.bytes_out > bytes) ++count;
    bytes = std::max(bytes, look.bytes_out);
  };
  std::for_each(evidence.samples.begin(), evidence.samples.end(), note);
  std::for_each(evidence.looks.begin(), evidence.looks.end(), note);
  return count;
}

std::optional<Verdict> streaming(const Facts& facts) {
  const Evidence& evidence = facts.evidence;
  constexpr int kAdvancesMin = 2;
  const bool lately = evidence.silent_ns >= 0 && evidence.silent_ns * 3 < evidence.timeout_ns;
  if (!lately || advances(evidence) < kAdvancesMin) return std::nullopt;
  return verdict_of(Cause::TimeoutTooShort, Confidence::Certain,
                    fmt::format("was advancing ({} bytes sent, the last {:.1f} s ago) when the "
                                "time-out of {:.0f} s ended it",
                                evidence.bytes_out, silent_seconds(evidence),
                                static_cast<double>(evidence.timeout_ns) / 1e9));
}

/// A poll that comes back by itself several times a second says nothing about getting on, nor does
/// one that comes back little more often than by itself, as celery's of one second.
bool polls_by_clock(const Facts& facts) {
  constexpr std::uint64_t kShortMs = 500;
  constexpr std::uint64_t kClockMs = 2000;
  constexpr double kWakesOfOne = 5;  // with those by which it has the GIL again
  if (facts.call != Call::Poll) return facts.call == Call::Select || facts.call == Call::Epoll;
  const std::uint64_t limit_ms = facts.thread->args[2];
  return limit_ms <= kShortMs ||
         (limit_ms <= kClockMs &&
          facts.switches_per_s * static_cast<double>(limit_ms) / 1000 < kWakesOfOne);
}

/// The longest time in which the serving thread was seen in one and the same wait, in seconds.
double longest_wait_s(const Evidence& evidence) {
  std::int64_t longest = 0;
  const ProcessLook* since = nullptr;
  for (const ProcessLook* look : in_order(evidence)) {
    if (since == nullptr || serving(*since)->switches != serving(*look)->switches) since = look;
    longest = std::max(longest, look->at_ns - since->at_ns);
  }
  return static_cast<double>(longest) / 1e9;
}

/// Two waits, one after the other as it was looked at, are not many: one may have lasted.
bool waits_often(const Facts& facts) {
  constexpr double kSwitchesPerSecond =
      3;  // Source: a thread in one long wait has 0; diagnosis.md section 4: 1 % CPU
  constexpr double kSwitches = 4;
  constexpr double kLongSeconds = 1;
  return facts.switches_per_s >= kSwitchesPerSecond &&
         facts.switches_per_s * facts.window_s >= kSwitches &&
         longest_wait_s(facts.evidence) < kLongSeconds;
}

std::optional<Verdict> many_short_waits(const Facts& facts) {
  const auto& peer = facts.evidence.peer;
  // Closed and opened again as it was looked at, so that no peer was to be seen.
  const bool nameless = !peer || (peer->kind == Peer::Kind::Unix && peer->address.empty());
  // CLOSE_WAIT: one that has answered, and ended its connection, a moment ago.
  const bool on_network = !nameless && peer->kind == Peer::Kind::Tcp &&
                          (peer->state == "ESTABLISHED" || peer->state == "CLOSE_WAIT");
  const bool receives = facts.call == Call::Receive || (facts.call == Call::Poll && !nameless);
  if (!(on_network || nameless) || !receives || polls_by_clock(facts) || !waits_often(facts))
    return std::nullopt;
  Verdict verdict =
      verdict_of(Cause::TimeoutTooShort, Confidence::Likely,
                 fmt::format("was advancing: {:.0f} short waits a second{}, none of them long",
                             facts.switches_per_s, nameless ? "" : " for " + peer_text(*peer)));
  if (!nameless) verdict.peer = peer_text(*peer);
  return verdict;
}

}  // namespace

std::optional<Verdict> judge_client(const Facts& facts) {
  for (const auto rule : {slow_client, streaming, many_short_waits}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
