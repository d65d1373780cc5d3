// The rules behind decide(), in groups asked in this order. Each returns the verdict of the
// first of its rules that holds, or nothing. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "diagnose/evidence.h"
#include "diagnose/facts.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

/// How a dead worker died. Always finds something: a wait status is a fact.
[[nodiscard]] Verdict judge_death(const Evidence& evidence);
/// Stopped, throttled, starved, thrashing, out of descriptors or processes.
[[nodiscard]] std::optional<Verdict> judge_resources(const Facts& facts);
/// The client holds the request up, or the request was getting on.
[[nodiscard]] std::optional<Verdict> judge_client(const Facts& facts);
/// Another thread of the worker holds what this one waits for.
[[nodiscard]] std::optional<Verdict> judge_threads(const Facts& facts);
/// What code that is known for it waits for by other means than the kernel's: by asking again and
/// again, or in an event loop.
[[nodiscard]] std::optional<Verdict> judge_idiom(const Facts& facts);
/// What a sleeping thread waits for outside the worker.
[[nodiscard]] std::optional<Verdict> judge_wait(const Facts& facts);
/// What a busy thread computes.
[[nodiscard]] std::optional<Verdict> judge_cpu(const Facts& facts);

/// All of them of one that lives, in their order.
[[nodiscard]] std::optional<Verdict> first_verdict(const Facts& facts);

/// Part of a request from which a phase is told of, and less than which does not stand for it.
inline constexpr double kNotablePart = 0.25;
/// Puts right what `verdict`, drawn from the last looks, says of a request that did more than one
/// thing: the verdict is that of the longest share, or says what was before. Leaves verdicts about
/// resources, clients and ends alone: they have counters of their own.
void judge_shares(const Evidence& evidence, Verdict& verdict);

/// Whether somebody outside the worker is waited for by its address.
[[nodiscard]] bool calls_out(Cause cause);

/// A verdict with its three first fields.
[[nodiscard]] Verdict verdict_of(Cause cause, Confidence confidence, std::string because);
/// "127.0.0.1:5432 (PostgreSQL)".
[[nodiscard]] std::string peer_text(const Peer& peer);
/// "1.9 of 2.0 s": how long the thread was seen where it is, of how long it may.
[[nodiscard]] std::string waited(const Facts& facts);
/// ", about 10 times a second": of a thread that was seen to sleep for a moment again and again;
/// empty: it was not.
[[nodiscard]] std::string often_text(const Facts& facts);
/// "an item of an empty queue" by the method that waits: get, put, join.
[[nodiscard]] std::string queue_text(std::string_view method);
/// What is waited for when a pool of connections has none free. @param pool  as pool_in() has it
[[nodiscard]] std::string pool_text(std::string_view pool);
/// The next command to run against a database; empty: none is known to help.
[[nodiscard]] std::string session_hint(const Peer& peer);
/// The next command to run after this cause; empty: there is none.
[[nodiscard]] std::string hint_of(Cause cause, const Evidence& evidence);

}  // namespace tricorn::diagnose
