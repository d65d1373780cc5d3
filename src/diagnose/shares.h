// How a request shared its time between what it did, again and again or one after the other. A loop
// of queries or a retry is at another point of its turn at each look, so that the last one says
// little.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/phases.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

/// All stretches of one class at one place.
struct Share {
  RequestPhase phase;                     ///< of the longest of them; `ns` is the sum
  std::vector<const Stretch*> stretches;  ///< oldest first, not empty
};

/// Longest first. @param stretches  must outlive what is returned
[[nodiscard]] std::vector<Share> shares_of(const Evidence& evidence,
                                           const std::vector<Stretch>& stretches);

/// Part of a request from which a phase is told of, and less than which does not stand for it.
inline constexpr double kNotablePart = 0.25;

/// Puts right what `verdict`, drawn from the last looks, says of a request that did more than one
/// thing: the verdict is that of the longest share, or says what was before. Leaves verdicts about
/// resources, clients and ends alone: they have counters of their own.
void tell_phases(const Evidence& evidence, Verdict& verdict);

}  // namespace tricorn::diagnose
