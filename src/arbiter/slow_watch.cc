#include "arbiter/slow_watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "diagnose/busy_places.h"
#include "diagnose/report.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kMs = 1'000'000;
// Full looks before it is told of: what agrees in all of them is so.
constexpr std::size_t kSlowLooks = 3;
constexpr std::int64_t kSlowLookPauseNs = 10 * kMs;
// Samples are this far apart, and further the longer it lasts: about 300 for 200 s.
constexpr std::int64_t kSlowSampleNs = 100 * kMs;
constexpr std::int64_t kSlowSampleShare = 100;
// Threads looked at to say where they all are.
constexpr std::size_t kBusyLooked = 64;

const diagnose::Stack& stack_of(const diagnose::ProcessLook& look) {
  static const diagnose::Stack kNone;
  return look.threads.empty() ? kNone : look.threads.front().stack;
}

// The time since the last look is put down to what is seen now.
void note(SlowRequest& slow, const diagnose::ProcessLook& look) {
  const std::int64_t ms = (look.at_ns - slow.sampled_ns) / kMs;
  if (ms <= 0) return;
  slow.time.add(stack_of(look), ms);
  slow.sampled_ns += ms * kMs;
}

}  // namespace

std::int64_t SlowWatch::attend(WorkerProcess& worker, std::uint32_t index, std::int64_t from_ns) {
  if (options_.slow_ns == 0) return 0;
  SlotWatch& watch = worker.slots[index];
  const std::int64_t now = base::monotonic_ns();
  const std::int64_t due = std::max(watch.started_ns + options_.slow_ns, from_ns);
  if (now < due) return due;
  if (watch.slow == nullptr) begin(worker, index, now);
  SlowRequest& slow = *watch.slow;
  if (slow.quiet) return 0;
  if (!slow.ref.empty()) return sample(worker, index, now), 0;
  if (now < slow.next_ns) return slow.next_ns;
  slow.looks.push_back(worker.inspector->full_look(diagnose::target_of(worker.page.slot(index))));
  if (slow.looks.size() == 1)
    slow.instructions = diagnose::Inspector::watch_instructions(slow.looks[0]);
  slow.next_ns = now + kSlowLookPauseNs;
  if (slow.looks.size() < kSlowLooks) return slow.next_ns;
  tell(worker, index);
  return 0;
}

// Whether it is told of is decided before anything is spent on it.
void SlowWatch::begin(WorkerProcess& worker, std::uint32_t index, std::int64_t now_ns) {
  auto slow = std::make_unique<SlowRequest>(options_.app_directory);
  diagnose::describe_request(worker.page, worker.page.slot(index), now_ns, slow->evidence);
  const auto quiet_before = gate_.pass(slow->evidence.request, now_ns);
  slow->quiet = !quiet_before;
  slow->quiet_before = quiet_before.value_or(0);
  worker.slots[index].slow = std::move(slow);
}

void SlowWatch::tell(WorkerProcess& worker, std::uint32_t index) {
  const heartbeat::Slot& slot = worker.page.slot(index);
  SlotWatch& watch = worker.slots[index];
  SlowRequest& slow = *watch.slow;
  const std::int64_t now = base::monotonic_ns();
  diagnose::Evidence evidence;  // without a time-out: it did not run into it
  evidence.pid = worker.pid;
  evidence.arbiter = ::getpid();
  evidence.app_directory = options_.app_directory;
  diagnose::describe_request(worker.page, slot, now, evidence);
  if (slot.request_id.load() != watch.request_id) return;  // ended just now
  evidence.looks = std::move(slow.looks);
  evidence.samples = watch.samples;
  worker.inspector->add_quick_looks(diagnose::target_of(slot), evidence);
  worker.inspector->add_native_code(std::move(slow.instructions), evidence);
  worker.inspector->investigate(evidence);
  slow.verdict = diagnose::decide(evidence);
  slow.ref = references_.next();
  slow.sampled_ns = watch.started_ns;
  for (const diagnose::ProcessLook& look : evidence.samples) note(slow, look);
  note(slow, evidence.looks.back());
  if (evidence.busy_threads == worker.page.slot_count()) slow.busy = busy_text(worker);
  std::string more = slow.busy;
  if (slow.quiet_before > 0) {
    more += fmt::format("{}{} more like it since the last such line", more.empty() ? "" : "; ",
                        slow.quiet_before);
  }
  log_.warning(diagnose::slow_line(slow.verdict, evidence, more, slow.ref));
  slow.evidence = std::move(evidence);
  incidents_.slow(slow.verdict, slow.evidence, {"", slow.busy, &slow.time}, slow.ref);
}

void SlowWatch::sample(WorkerProcess& worker, std::uint32_t index, std::int64_t now_ns) {
  SlowRequest& slow = *worker.slots[index].slow;
  if (now_ns < slow.next_ns || samples_left_ == 0) return;
  --samples_left_;
  note(slow, worker.inspector->light_look(diagnose::target_of(worker.page.slot(index))));
  const std::int64_t age = now_ns - worker.slots[index].started_ns;
  slow.next_ns = now_ns + std::max(kSlowSampleNs, age / kSlowSampleShare);
}

// Nothing tells us of a request's end: it is seen within a tenth of a second.
void SlowWatch::end(WorkerProcess& worker, SlotWatch& watch, std::string_view how) {
  if (watch.slow == nullptr) return;
  const std::unique_ptr<SlowRequest> slow = std::move(watch.slow);
  if (slow->ref.empty()) return;
  slow->evidence.running_ns = base::monotonic_ns() - watch.started_ns;
  if (how == "answered") {
    log_.info(diagnose::slow_end_line(slow->evidence, slow->time, slow->ref));
  } else if (how == "worker died" && worker.ref.empty()) {
    worker.ref = slow->ref;  // one request, one reference
  }
  incidents_.slow(slow->verdict, slow->evidence, {how, slow->busy, &slow->time}, slow->ref);
}

// "4 of 4 threads busy: 4 x app.py:159 in sleep".
std::string SlowWatch::busy_text(const WorkerProcess& worker) const {
  const std::uint32_t threads = worker.page.slot_count();
  const unsigned queued = worker.page.header().waiting.load(std::memory_order_relaxed);
  if (threads == 1 && queued == 0) return "";
  diagnose::BusyPlaces places(options_.app_directory);
  std::size_t looked = 0;
  unsigned busy = 0;
  for (std::uint32_t i = 0; i < threads; ++i) {
    if (worker.page.slot(i).started_ns.load() == 0) continue;
    ++busy;
    if (++looked > kBusyLooked) continue;
    places.add(stack_of(worker.inspector->light_look(diagnose::target_of(worker.page.slot(i)))));
  }
  const std::string where = places.text();
  std::string text =
      fmt::format("{} of {} threads busy{}{}", busy, threads, where.empty() ? "" : ": ", where);
  if (queued > 0) text += fmt::format(", {} requests wait for a thread", queued);
  return text;
}

}  // namespace tricorn::arbiter
