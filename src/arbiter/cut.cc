// The end of what is late when a worker has to leave: what it hung in, said before it is killed;
// and of workers that cannot be killed.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "arbiter/arbiter.h"
#include "base/clock.h"
#include "diagnose/frames.h"
#include "diagnose/report.h"
#include "diagnose/usage.h"

namespace tricorn::arbiter {
namespace {

// The first of two looks comes this long before the end, at requests that have most of their time
// behind them: nobody waits for it.
constexpr std::int64_t kLookBeforeCutNs = 200'000'000;
// Requests of a worker whose cause is looked for, at some milliseconds each; the others are told.
constexpr std::uint32_t kCausesPerWorker = 8;

}  // namespace

void Arbiter::look_before_cut(WorkerProcess& worker, std::int64_t cut_at_ns) {
  const bool due = base::monotonic_ns() >= cut_at_ns - kLookBeforeCutNs;
  if (!due) return wake_at(cut_at_ns - kLookBeforeCutNs);
  const bool told_already = !worker.kill.reason.empty() || worker.has_lost_threads;
  if (std::exchange(worker.looked_before_cut, true) || !worker.was_ready || told_already) return;
  std::uint32_t taken = 0;
  for (std::uint32_t i = 0; i < worker.page.slot_count() && taken < kCausesPerWorker; ++i) {
    const heartbeat::Slot& slot = worker.page.slot(i);
    if (!slot.is_serving()) continue;
    SlotWatch& watch = worker.slots[i];
    if (watch.request_id != slot.request_id.load()) watch = {};
    watch.request_id = slot.request_id.load();
    watch.before_cut = worker.inspector->full_look(diagnose::target_of(slot));
    ++taken;
  }
  if (taken == 0)
    worker.crash_looks.push_back(worker.inspector->full_look({worker.pid, 0, nullptr}));
}

// Each request that is cut at the graceful time-out is one line, and its client hears it.
void Arbiter::cut_worker(WorkerProcess& worker, const std::string& why) {
  if (!worker.kill.reason.empty()) return;
  const bool serves = others_running(worker);
  for (std::uint32_t i = 0; i < worker.page.slot_count(); ++i) cut_request(worker, i);
  kill_worker(worker, serves ? why : why + what_keeps(worker), {});
}

void Arbiter::cut_request(WorkerProcess& worker, std::uint32_t index) {
  heartbeat::Slot& slot = worker.page.slot(index);
  SlotWatch& watch = worker.slots[index];
  if (!slot.is_serving()) return;
  diagnose::Evidence evidence = evidence_of(worker.pid);
  diagnose::describe_request(worker.page, slot, base::monotonic_ns(), evidence);
  const bool known = watch.before_cut && watch.request_id == slot.request_id.load();
  if (known) {
    evidence.timeout_ns = evidence.running_ns;  // all the time it was given
    evidence.samples = std::move(watch.samples);
    evidence.looks = {*std::move(watch.before_cut),
                      worker.inspector->full_look(diagnose::target_of(slot))};
    worker.inspector->investigate(evidence);
  }
  const auto taken = take_answer(slot, slot.request_id.load());
  if (!taken) return;
  const std::string ref = references_.next();
  const char* end = state_ == State::Stopping ? "shutdown" : "its graceful time-out";
  const auto verdict =
      known ? std::optional(diagnose::decide(evidence)) : std::optional<diagnose::Verdict>();
  incidents_.cut(verdict, evidence, end, ref);  // before its client can ask what happened
  answer_or_cut(worker, slot, *taken, 503, ref);
}

// It has no request: an atexit handler, a thread that is no daemon.
std::string Arbiter::what_keeps(WorkerProcess& worker) {
  if (worker.crash_looks.empty()) return "";
  worker.crash_looks.push_back(worker.inspector->full_look({worker.pid, 0, nullptr}));
  diagnose::Evidence evidence = evidence_of(worker.pid);
  evidence.looks = worker.crash_looks;
  if (const auto* frame = diagnose::kept_by(evidence.looks.back()); frame != nullptr)
    return fmt::format(", while it waited for a thread that is no daemon, at {} in {}",
                       diagnose::place_text(*frame, options_.app_directory), frame->function);
  worker.inspector->investigate(evidence);
  const diagnose::Verdict verdict = diagnose::decide(evidence);
  if (verdict.place.empty()) return "";
  return fmt::format(", while it was leaving: {} at {}{}{}", diagnose::name_of(verdict.cause),
                     verdict.place, verdict.function.empty() ? "" : " in ", verdict.function);
}

// ---- who cannot be killed

void Arbiter::tell_if_stuck(WorkerProcess& worker) {
  if (worker.told_as_stuck || worker.killed_at_ns == 0) return;
  if (base::monotonic_ns() < worker.killed_at_ns + kStuckAfterNs) return;
  const auto where = diagnose::uninterruptible_in(worker.pid);
  if (!where) return;
  worker.told_as_stuck = true;
  log_.critical(
      fmt::format("Worker (pid:{}) cannot be killed: it is in uninterruptible sleep in {} "
                  "(a disk, a network or FUSE file system) and ends when the kernel lets "
                  "it go{}",
                  worker.pid, *where, worker.ref.empty() ? "" : "; ref " + worker.ref));
}

// The server ends without them. Their clients are answered, their doors closed: else clients would
// be let in by a server that is gone.
void Arbiter::leave_stuck_behind() {
  for (auto entry = workers_.begin(); entry != workers_.end();) {
    WorkerProcess& worker = *entry->second;
    if (!worker.kill.reason.empty()) tell_if_stuck(worker);
    const bool stuck = worker.told_as_stuck;
    auto next = std::next(entry);
    if (stuck) {
      close_doors_of(worker);
      answer_clients_of(worker, reference_of_death(worker), 503);
      poller_.remove(worker.control.get());
      auto node = workers_.extract(entry);
      const int keeper = node.mapped()->keeper.fd();
      buried_.emplace(keeper, std::move(node.mapped()));
    }
    entry = next;
  }
}

// Its keeper has the same table of descriptors. shutdown(2) ends a listening socket in every
// process that has it.
void Arbiter::close_doors_of(WorkerProcess& worker) {
  if (left_doors_.empty()) return;
  for (const auto& [fd, inode] : diagnose::sockets_of(worker.pid)) {
    if (std::find(left_doors_.begin(), left_doors_.end(), inode) != left_doors_.end())
      worker.keeper.answer(fd, {});
  }
}

}  // namespace tricorn::arbiter
