#include "arbiter/memory_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "arbiter/arbiter.h"
#include "base/clock.h"
#include "diagnose/usage.h"

namespace tricorn::arbiter {
namespace {

// Between two readings of a worker's memory, some 20 us each.
constexpr std::int64_t kMemoryPauseNs = 1'000'000'000;

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

MemoryStep judge_memory(MemoryWatch& watch, std::int64_t rss_bytes, std::int64_t limit_bytes) {
  if (rss_bytes <= 0 || limit_bytes == 0) return MemoryStep::Fine;
  if (watch.first_bytes == 0) watch.first_bytes = rss_bytes;
  if (rss_bytes <= limit_bytes) return MemoryStep::Fine;
  return watch.first_bytes > limit_bytes ? MemoryStep::LimitTooLow : MemoryStep::Replace;
}

diagnose::Verdict growth_verdict(const MemoryWatch& watch, std::int64_t rss_bytes,
                                 std::int64_t limit_bytes) {
  diagnose::Verdict verdict;
  verdict.cause = diagnose::Cause::MemoryLimit;
  verdict.confidence = diagnose::Confidence::Certain;
  verdict.because =
      fmt::format("has {} of memory, {} when it was new, --max-worker-memory {}",
                  megabytes(rss_bytes), megabytes(watch.first_bytes), megabytes(limit_bytes));
  return verdict;
}

// Between requests: the worker drains, another one comes. One at a time, so that a limit all of
// them reach together does not leave the server without workers.
void Arbiter::limit_memory(WorkerProcess& worker) {
  const std::int64_t limit = options_.max_worker_memory;
  const std::int64_t now = base::monotonic_ns();
  if (limit == 0 || worker.leaving || now < worker.memory.next_ns) return;
  worker.memory.next_ns = now + kMemoryPauseNs;
  const std::int64_t rss = diagnose::usage_of(worker.pid).rss_bytes;
  const MemoryStep step = judge_memory(worker.memory, rss, limit);
  if (step == MemoryStep::Fine) return;
  if (step == MemoryStep::LimitTooLow) {
    if (!std::exchange(memory_limit_told_, true))
      log_.warning(
          fmt::format("Worker (pid:{}) has more memory than allowed from its start, and is "
                      "not replaced: {}, --max-worker-memory {}",
                      worker.pid, megabytes(rss), megabytes(limit)));
    return;
  }
  const bool another_leaves = std::any_of(workers_.begin(), workers_.end(), [](const auto& entry) {
    return entry.second->leaving || !entry.second->ready();
  });
  if (another_leaves) return;
  diagnose::Evidence evidence = evidence_of(worker.pid);
  evidence.looks.push_back(worker.inspector->full_look({worker.pid, 0, nullptr}));
  incidents_.outgrown(growth_verdict(worker.memory, rss, limit), evidence, references_.next());
  drain(worker);
}

}  // namespace tricorn::arbiter
