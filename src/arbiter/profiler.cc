#include "arbiter/profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMs = 1'000'000;
// A worker that was not sampled for so long was not there, or the arbiter was not.
constexpr std::int64_t kGapMaxNs = kSecond;

}  // namespace

Profiler::Profiler(const ProfileWish& wish, std::int64_t now_ns)
    : wish_(wish), began_ns_(now_ns), end_ns_(now_ns + wish.seconds * kSecond), next_ns_(now_ns) {}

// Round and round: the one with the next higher pid.
const WorkerProcess* Profiler::next_of(const Workers& workers) {
  if (wish_.pid != 0) {
    const auto found = workers.find(wish_.pid);
    return found == workers.end() ? nullptr : found->second.get();
  }
  if (workers.empty()) return nullptr;
  auto next = workers.upper_bound(last_);
  if (next == workers.end()) next = workers.begin();
  last_ = next->first;
  return next->second.get();
}

std::int64_t Profiler::turn(const Workers& workers, std::int64_t now_ns) {
  if (now_ns < next_ns_) return next_ns_;
  const WorkerProcess* worker = next_of(workers);
  if (worker == nullptr) {
    if (wish_.pid != 0) end_ns_ = now_ns;  // it has ended
    return next_ns_ = now_ns + 100 * kMs;
  }
  sample(*worker, now_ns);
  const std::int64_t took = base::monotonic_ns() - now_ns;
  spent_ns_ += took;
  const auto shares = wish_.pid != 0 ? 1 : static_cast<std::int64_t>(workers.size());
  next_ns_ = now_ns + std::max(kSecond / wish_.rate / shares, took * kProfileShare);
  return next_ns_;
}

void Profiler::sample(const WorkerProcess& worker, std::int64_t now_ns) {
  std::int64_t& noted =
      sampled_ns_.try_emplace(worker.pid, now_ns - kSecond / wish_.rate).first->second;
  if (now_ns - noted > kGapMaxNs) noted = now_ns - kSecond / wish_.rate;
  const std::int64_t ms = (now_ns - noted) / kMs;
  if (ms <= 0) return;
  noted += ms * kMs;
  const auto stacks = worker.inspector->stack_samples(kProfileThreads);
  if (!stacks) {
    unreadable_.insert(worker.pid);
    return;
  }
  ++samples_;
  for (const diagnose::StackSample& one : *stacks) {
    if (wish_.gil_only && !one.has_gil) continue;
    time_.add(one.stack, ms,
              fmt::format("worker {}{}", worker.pid, one.serves ? "" : ", threads of its own"));
  }
}

std::string Profiler::answer(std::int64_t now_ns) const {
  const double seconds = static_cast<double>(now_ns - began_ns_) / 1e9;
  const nlohmann::ordered_json data = {
      {"seconds", static_cast<double>(static_cast<std::int64_t>(seconds * 1000)) / 1000},
      {"samples", samples_},
      {"workers", sampled_ns_.size()},
      {"not_readable", unreadable_},
      {"arbiter_ms", spent_ns_ / kMs},
      {"total_ms", time_.total_ms()},
      {"stacks", time_.stacks()}};
  return nlohmann::ordered_json{{"v", 1}, {"ok", true}, {"data", data}}.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tricorn::arbiter
