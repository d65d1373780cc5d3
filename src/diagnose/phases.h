// What a request did one after the other, as the looks show it. The last half second alone would
// say of a request that computed for two seconds and then asked a silent peer that it only waited.
#pragma once

#include <cstdint>
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
  std::int64_t ns = 0;
};

/// The same for the report. Phases of less than a hundredth of the time are left out.
[[nodiscard]] std::vector<RequestPhase> phases_of(const Evidence& evidence);

/// Part of a request from which a phase is told of, and less than which does not stand for it.
inline constexpr double kNotablePart = 0.25;

/// Puts right what `verdict`, drawn from the last looks, says of a request that had more than one
/// phase: the verdict is that of the major one, or says what was before. Leaves verdicts about
/// resources, clients and ends alone: they have counters of their own.
void tell_phases(const Evidence& evidence, Verdict& verdict);

}  // namespace tricorn::diagnose
