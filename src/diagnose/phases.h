// What a request did one after the other, as the looks show it. The last half second alone would
// say of a request that computed for two seconds and then asked a silent peer that it only waited.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/facts.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

/// Looks in a row, samples included, in which the serving thread does one thing: it computes, or it
/// waits in the same call at the same place.
struct Stretch {
  bool computes = false;
  std::vector<const ProcessLook*> looks;  ///< into the Evidence, oldest first, not empty
  std::int64_t ns = 0;  ///< between two looks that differ the kernel's count of CPU time tells how
                        ///< much was computed; of two waits each gets half
};

/// All of a request that was seen, oldest first. Empty without looks.
[[nodiscard]] std::vector<Stretch> stretches_of(const Evidence& evidence);

/// A stretch that is worth telling, judged from its own looks.
struct RequestPhase {
  Cause cause = Cause::Unknown;
  bool computes = false;
  std::string place;     ///< "app.py:12"; empty: not known
  std::string function;  ///< there
  std::string peer;      ///< whom it waited for; empty: not known
  std::int64_t ns = 0;
};

/// A stretch as if it were all that was seen. What was looked up at the end is not of it.
[[nodiscard]] Evidence evidence_of(const Evidence& whole, const Stretch& stretch);

/// What its looks show, when that is a wait or computing. @param ns  as long as it took
[[nodiscard]] std::optional<Verdict> judge_stretch(const Evidence& part, std::int64_t ns);

[[nodiscard]] RequestPhase phase_of(const Evidence& evidence, const Stretch& stretch);

/// Whether a cause is of what a request does, not of a resource, a client or an end.
[[nodiscard]] bool is_wait_or_cpu(Cause cause);

/// For the report: phases one after the other. Those of less than a hundredth of the time are left
/// out, and what goes on after them is one with what was before.
[[nodiscard]] std::vector<RequestPhase> phases_of(const Evidence& evidence);

}  // namespace tricorn::diagnose
