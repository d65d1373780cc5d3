#include "arbiter/memory_limit.h"

namespace tricorn::arbiter {

MemoryStep judge_memory(MemoryWatch& watch, std::int64_t rss_bytes, std::int64_t limit_bytes) {
  if (rss_bytes <= 0 || limit_bytes == 0) return MemoryStep::Fine;
  if (watch.first_bytes == 0) watch.first_bytes = rss_bytes;
  if (rss_bytes <= limit_bytes) return MemoryStep::Fine;
  return watch.first_bytes > limit_bytes ? MemoryStep::LimitTooLow : MemoryStep::Replace;
}

}  // namespace tricorn::arbiter
