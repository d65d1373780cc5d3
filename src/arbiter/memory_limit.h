// --max-worker-memory: which worker is replaced, when, and what is said of it. Pure.
#pragma once

#include <cstdint>

#include "diagnose/verdict.h"

namespace tricorn::arbiter {

/// What was read of one worker's memory.
struct MemoryWatch {
  std::int64_t first_bytes = 0;  ///< when it was ready; 0: not read yet
  std::int64_t next_ns = 0;      ///< monotonic, when to read again
};

enum class MemoryStep {
  Fine,
  Replace,      ///< above the limit, and it was below when it was fresh
  LimitTooLow,  ///< above the limit from the start: replacing it would never end
};

/// @param rss_bytes  -1: could not be read
[[nodiscard]] MemoryStep judge_memory(MemoryWatch& watch, std::int64_t rss_bytes,
                                      std::int64_t limit_bytes);

/// Why a worker is replaced.
/// @param rss_bytes  now, above the limit
[[nodiscard]] diagnose::Verdict growth_verdict(const MemoryWatch& watch, std::int64_t rss_bytes,
                                               std::int64_t limit_bytes);

}  // namespace tricorn::arbiter
