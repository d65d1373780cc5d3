// Who has the other end of a pipe.
#pragma once

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// Most descriptors of other processes that are looked at, and the longest that may take. Sources:
/// our bounds; about 2 us a descriptor.
inline constexpr std::size_t kEndsLookedAt = 20'000;
inline constexpr std::int64_t kEndsSoughtNs = 50'000'000;

/// Names a process that has the other end of a pipe or named pipe open, when another one than the
/// worker and its keeper has: Peer::other_end, other_program, more_ends. Only processes whose
/// descriptors we may read are found. Any thread; takes milliseconds.
/// @param process  fd of the worker's /proc/PID  @param reads  the worker waits for data
void find_other_end(int process, bool reads, Peer& peer);

}  // namespace tricorn::diagnose
