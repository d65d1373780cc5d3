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

/// What a phase is, for rules about shares.
[[nodiscard]] bool sleeps(const RequestPhase& phase);
[[nodiscard]] bool waits_unknown(const RequestPhase& phase);
[[nodiscard]] bool calls_out(const RequestPhase& phase);
/// Whether it waits for descriptors, or for something that was over when it was read.
[[nodiscard]] bool is_of_data(const Stretch& stretch);

}  // namespace tricorn::diagnose
