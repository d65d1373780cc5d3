#include "arbiter/load.h"

#include <algorithm>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kPauseNs = 100'000'000;
constexpr std::int64_t kCountsMax = 10;
constexpr std::int64_t kMinuteNs = 60'000'000'000;

}  // namespace

ThreadsInUse count_threads(const std::map<pid_t, std::unique_ptr<WorkerProcess>>& workers) {
  ThreadsInUse threads;
  for (const auto& [pid, worker] : workers) {
    if (!worker->ready()) continue;
    threads.all += worker->page.slot_count();
    threads.answered += worker->page.header().requests.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < worker->page.slot_count(); ++i)
      threads.busy += worker->page.slot(i).started_ns.load(std::memory_order_relaxed) != 0 ? 1 : 0;
  }
  return threads;
}

void LoadHistory::note(const ThreadsInUse& threads, std::int64_t now_ns) {
  const std::int64_t passed = std::min((now_ns - last_ns_) / kPauseNs, kCountsMax);
  const auto counts = static_cast<unsigned>(last_ns_ == 0 ? 1 : passed);
  if (counts == 0) return;
  last_ns_ = now_ns;
  if (minutes_[at_].began_ns == 0) minutes_[at_].began_ns = now_ns;
  if (now_ns - minutes_[at_].began_ns >= kMinuteNs) {
    at_ = (at_ + 1) % kPeriods;
    minutes_[at_] = {};
    minutes_[at_].began_ns = now_ns;
  }
  if (threads.all == 0) return;
  LoadPeriod& minute = minutes_[at_];
  minute.readings += counts;
  minute.busy += std::uint64_t{counts} * threads.busy;
  minute.threads += std::uint64_t{counts} * threads.all;
  minute.busy_max = std::max(minute.busy_max, threads.busy);
  minute.full += threads.busy >= threads.all ? counts : 0;
}

LoadPeriod LoadHistory::lately() const {
  LoadPeriod all;
  for (const LoadPeriod& minute : minutes_) {
    if (minute.began_ns == 0) continue;
    all.began_ns = all.began_ns == 0 ? minute.began_ns : std::min(all.began_ns, minute.began_ns);
    all.readings += minute.readings;
    all.busy += minute.busy;
    all.threads += minute.threads;
    all.busy_max = std::max(all.busy_max, minute.busy_max);
    all.full += minute.full;
  }
  return all;
}

}  // namespace tricorn::arbiter
