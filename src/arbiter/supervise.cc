// The life of a time-out: samples, looks, verdict, words, the client's answer, the kill. In this
// order.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>

#include "arbiter/arbiter.h"
#include "arbiter/farewell.h"
#include "base/clock.h"
#include "diagnose/report.h"
#include "diagnose/told.h"
#include "diagnose/usage.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kMs = 1'000'000;
// Age of a request at its first light sample; each next one comes at twice the age, and later each
// eighth of the time it may take: what takes a quarter of it must not be missed.
constexpr std::int64_t kFirstSampleNs = 100 * kMs;
constexpr std::int64_t kSamplesPerLimit = 8;
constexpr std::size_t kSamplesMax = 24;
// From this part of its time on, it is also found out whom a request waits for.
constexpr std::int64_t kPeersFromShare = 4;
// The first look comes this long before the deadline, so that CPU shares cover a real interval ...
constexpr std::int64_t kFirstLookBeforeNs = 500 * kMs;
// ... and the others close to it, so that a loop is told from a single long instruction.
constexpr std::int64_t kLookPauseNs = 10 * kMs;
// From the order to drain to the look for requests that it had read before.
constexpr std::int64_t kSettleNs = 10 * kMs;
// From SIGABRT to SIGKILL: for worker_abort hooks and core files. Source: gunicorn.md section 0,
// surprise 2.
constexpr std::int64_t kAbortGraceNs = 1'000 * kMs;

std::int64_t sample_pause(std::int64_t age_ns, std::int64_t limit_ns) {
  const std::int64_t doubled = std::max(age_ns, kFirstSampleNs);
  return limit_ns == 0 ? doubled
                       : std::min(doubled, std::max(limit_ns / kSamplesPerLimit, kFirstSampleNs));
}

}  // namespace

void Arbiter::supervise() {
  slow_watch_.begin_turn();
  for (const auto& [pid, worker] : workers_) supervise_worker(*worker);
  call_for_offers();
  watch_overload();
  const std::int64_t now = base::monotonic_ns();
  const ThreadsInUse threads = count_threads(workers_);
  load_.note(threads, now);
  pace_.note(threads.busy > 0 || !settled(), threads.answered, now);
  wake_at(now + pace_.pause_ns(options_.first_due_ns(), now));
}

bool Arbiter::settled() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return entry.second->in_service(); });
}

void Arbiter::supervise_worker(WorkerProcess& worker) {
  forget_adopted(worker);
  if (worker.kill_at_ns != 0) return kill_if_due(worker);
  if (!worker.kill.reason.empty()) return tell_if_stuck(worker);
  if (!worker.was_ready) return supervise_boot(worker);
  note_wear(worker);
  for (std::uint32_t i = 0; i < worker.slots.size(); ++i) supervise_slot(worker, i);
  // After HUP or TTOU; a time-out's own end is judge()'s matter, the server's that of
  // finish_stop().
  if (worker.cut_at_ns != 0 && !worker.has_lost_threads) {
    if (base::monotonic_ns() >= worker.cut_at_ns)
      return cut_worker(worker, "at the end of --graceful-timeout");
    look_before_cut(worker, worker.cut_at_ns);
    wake_at(worker.cut_at_ns);
  }
  limit_memory(worker);
  if (worker.has_lost_threads) abort_when_alone(worker);
}

// Of a request that was seen to run for a tenth of a second; its end is seen as late.
void Arbiter::note_end(SlotWatch& watch) {
  watch.instructions.reset();
  if (watch.request.empty()) return;
  paths_.answered(watch.request, base::monotonic_ns() - watch.started_ns);
  watch.request.clear();
}

// Its replacement boots while it answers the last tenth of --max-requests.
void Arbiter::note_wear(WorkerProcess& worker) {
  const std::uint64_t most = worker.page.header().requests_max.load();
  if (most != 0 && worker.page.header().requests.load() + most / 10 >= most) worker.worn_out = true;
}

bool Arbiter::others_running(const WorkerProcess& worker) const {
  for (std::uint32_t i = 0; i < worker.page.slot_count(); ++i) {
    const heartbeat::Slot& slot = worker.page.slot(i);
    if (slot.is_serving()) return true;
  }
  return false;
}

void Arbiter::supervise_slot(WorkerProcess& worker, std::uint32_t index) {
  heartbeat::Slot& slot = worker.page.slot(index);
  SlotWatch& watch = worker.slots[index];
  const std::int64_t started = slot.started_ns.load(std::memory_order_acquire);
  if (watch.interruption) return attend_interrupted(worker, index);
  if (started == 0 || slot.is_abandoned()) {
    slow_watch_.end(worker, watch, "answered");
    return note_end(watch);
  }
  const std::uint32_t id = slot.request_id.load();
  if (watch.request_id != id) {
    slow_watch_.end(worker, watch, "answered");
    note_end(watch);
    watch = {};
    watch.request_id = id;
    watch.next_sample_ns = started + kFirstSampleNs;
    watch.started_ns = started;
  }
  const std::int64_t now = base::monotonic_ns();
  const std::int64_t limit = options_.request_limit_ns();
  const diagnose::Target target = diagnose::target_of(slot);
  if (now >= watch.next_sample_ns && watch.samples.size() < kSamplesMax) {
    if (watch.samples.empty()) watch.request = diagnose::request_of(slot);
    watch.samples.push_back(worker.inspector->light_look(target));
    // Who is waited for can take milliseconds to find out: most requests end long before it
    // matters.
    if (limit > 0 && now - started >= limit / kPeersFromShare)
      worker.inspector->add_peer(watch.samples);
    watch.next_sample_ns = now + sample_pause(now - started, limit);
  }
  if (const std::int64_t at = slow_watch_.attend(worker, index, judge_not_before_ns_); at != 0)
    wake_at(at);
  if (limit == 0) return;
  const std::int64_t deadline = std::max(started + limit, judge_not_before_ns_);
  take_look(*worker.inspector, watch, target, deadline, limit);
  if (watch.looks.size() >= kLooks) judge(worker, index);
}

// Driven by the loop's time-out: one look a call, when it is due.
void Arbiter::take_look(diagnose::Inspector& inspector, SlotWatch& watch,
                        const diagnose::Target& target, std::int64_t deadline_ns,
                        std::int64_t limit_ns) {
  if (watch.looks.empty())
    watch.next_look_ns = deadline_ns - std::min(kFirstLookBeforeNs, limit_ns / 4);
  const std::int64_t now = base::monotonic_ns();
  if (now < watch.next_look_ns) return wake_at(watch.next_look_ns);
  watch.looks.push_back(inspector.full_look(target));
  if (watch.looks.size() == 1)
    watch.instructions = diagnose::Inspector::watch_instructions(watch.looks[0]);
  watch.next_look_ns = std::max(deadline_ns, now + kLookPauseNs);
  wake_at(watch.next_look_ns);
}

diagnose::Evidence Arbiter::evidence_of(pid_t pid) const {
  diagnose::Evidence evidence;
  evidence.pid = pid;
  evidence.arbiter = ::getpid();
  evidence.app_directory = options_.app_directory;
  evidence.timeout_ns = options_.request_limit_ns();
  const ThreadsInUse threads = count_threads(workers_);
  evidence.server_busy = threads.busy;
  evidence.server_threads = threads.all;
  return evidence;
}

// The worker has ended a request by itself.
void Arbiter::on_told(const WorkerProcess& worker, std::string_view text) {
  auto told = diagnose::parse_told(text, options_.app_directory);
  if (!told) return;
  told->evidence.pid = worker.pid;
  told->evidence.arbiter = ::getpid();
  if (told->verdict.cause == diagnose::Cause::FdExhaustion)
    told->verdict.because += diagnose::descriptors_text(worker.pid);
  incidents_.told(told->verdict, told->evidence, told->ref);
}

void Arbiter::judge(WorkerProcess& worker, std::uint32_t index) {
  heartbeat::Slot& slot = worker.page.slot(index);
  SlotWatch& watch = worker.slots[index];
  const std::int64_t now = base::monotonic_ns();
  if (slot.request_id.load() != watch.request_id || slot.started_ns.load() == 0)
    return;  // it ended just now
  diagnose::Evidence evidence = evidence_of(worker.pid);
  diagnose::describe_request(worker.page, slot, now, evidence);
  evidence.looks = std::move(watch.looks);
  evidence.samples = std::move(watch.samples);
  worker.inspector->add_quick_looks(diagnose::target_of(slot), evidence);
  worker.inspector->add_native_code(std::move(watch.instructions), evidence);
  worker.inspector->investigate(evidence);
  const std::optional<heartbeat::TakenAnswer> taken = take_answer(slot, watch.request_id);
  if (!taken) return;
  const bool spared = options_.limits_request();
  if (!spared) drain(worker);  // the client's next request must not reach what is about to end
  const diagnose::Verdict verdict = diagnose::decide(evidence);
  const int status = options_.status_by_cause ? diagnose::status_of(verdict.cause) : 500;
  const bool told = watch.slow != nullptr && !watch.slow->ref.empty();
  const std::string ref = told ? watch.slow->ref : references_.next();  // one request has one
  slow_watch_.end(worker, watch, "timed out");
  paths_.timed_out(evidence.request);
  watch.request.clear();
  incidents_.timed_out(verdict, evidence, ref, spared);
  answer_or_cut(worker, slot, *taken, status, ref);
  if (spared) return interrupt(worker, index, ref);
  give_up_thread(worker, ref);
}

// Its worker ends when the other requests have.
void Arbiter::give_up_thread(WorkerProcess& worker, const std::string& ref) {
  worker.ref = ref;
  worker.has_lost_threads = true;
  worker.settled_at_ns = base::monotonic_ns() + kSettleNs;
  wake_at(worker.settled_at_ns);
}

// What the worker had begun is cut, what it had not is answered.
void Arbiter::answer_or_cut(WorkerProcess& worker, heartbeat::Slot& slot,
                            const heartbeat::TakenAnswer& taken, int status,
                            const std::string& ref) {
  if (taken.before != heartbeat::Claim::Pending) {
    slot.farewell_status.store(0);  // the request before it may have had one
    return worker.keeper.answer(taken.connection_fd, {});
  }
  std::string answer = farewell(status, ref, std::time(nullptr));
  const std::size_t body_at = answer.find("\r\n\r\n") + 4;
  slot.farewell_bytes.store(static_cast<std::uint32_t>(answer.size() - body_at));
  slot.farewell_status.store(static_cast<std::uint32_t>(status));
  worker.keeper.answer(taken.connection_fd, std::move(answer));
}

// The other requests of the worker finish first.
void Arbiter::abort_when_alone(WorkerProcess& worker) {
  if (base::monotonic_ns() < worker.settled_at_ns) return wake_at(worker.settled_at_ns);
  if (others_running(worker)) return;
  worker.page.header().abort_asked.store(1);
  signal_worker(worker, SIGABRT);
  kill_worker_after(worker, kAbortGraceNs,
                    "since it did not react to SIGABRT within 1.0 s; the time-out is above");
}

// ---- boot
// ------------------------------------------------------------------------------------------

// Each eighth of its time: what it waits for was waited for all along, or not. A boot of less than
// that costs nothing.
void Arbiter::sample_boot(diagnose::Inspector& inspector, SlotWatch& watch, pid_t pid,
                          std::int64_t began_ns, std::int64_t limit_ns) {
  const std::int64_t now = base::monotonic_ns();
  const std::int64_t pause = limit_ns / kSamplesPerLimit;
  if (watch.next_sample_ns == 0) watch.next_sample_ns = began_ns + pause;
  if (!watch.looks.empty()) return;
  if (now < watch.next_sample_ns) return wake_at(watch.next_sample_ns);
  watch.samples.push_back(inspector.full_look({pid, 0, nullptr}));
  inspector.add_peer(watch.samples);
  watch.next_sample_ns = now + pause;
}

// A slow boot is reported at --timeout and ended only by --boot-timeout: an application that loads
// for a minute works under Gunicorn, so it must work here.
void Arbiter::supervise_boot(WorkerProcess& worker) {
  const std::int64_t limit = boot_limit_ns();
  if (limit == 0 || worker.boot_reported || worker.leaving) return;
  SlotWatch& watch = worker.slots[0];
  const std::int64_t began = worker.page.header().forked_ns.load();
  sample_boot(*worker.inspector, watch, worker.pid, began, limit);
  take_look(*worker.inspector, watch, {worker.pid, 0, nullptr}, began + limit, limit);
  if (watch.looks.size() < kLooks) return;
  worker.boot_reported = true;
  diagnose::Evidence evidence = evidence_of(worker.pid);
  evidence.life = worker.life();
  evidence.running_ns = base::monotonic_ns() - began;
  evidence.timeout_ns = limit;
  evidence.looks = std::move(watch.looks);
  evidence.samples = std::move(watch.samples);
  worker.inspector->investigate(evidence);
  const diagnose::Verdict verdict = diagnose::decide(evidence);
  worker.ref = references_.next();
  const bool ends = options_.boot_timeout_ns != 0;
  incidents_.slow_boot(verdict, evidence, worker.ref, ends);
  watch = {};
  if (ends) kill_worker(worker, "its boot took longer than --boot-timeout", worker.ref);
}

}  // namespace tricorn::arbiter
