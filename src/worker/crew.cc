#include "worker/crew.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "worker/fatal_signals.h"

namespace tricorn::worker {
namespace {

// A call that still lasts at the second tick after it began loses the loop: 5 to 10 ms.
// Source: docs/decisions/0002, measured with bench cases hello and mixed.
constexpr int kTickMs = 5;
// Ticks without a call after which the sentinel sleeps until there is one.
constexpr int kQuietTicks = 20;
// A call is slow from here on, and makes the next ones be treated as slow too.
constexpr std::int64_t kSlowNs = 2'000'000;
constexpr int kSlowMemory = 16;
// From here on, requests that nobody has read are for other workers.
constexpr std::int64_t kGilGoneNs = 100'000'000;
// A thread that is asked whether the GIL can be had gets this long before the loop goes on without.
constexpr std::int64_t kProbeNs = std::int64_t{kTickMs} * 1'000'000;

}  // namespace

Crew::Crew(Loop& loop, const heartbeat::Page& page, std::uint32_t threads, RunRequest run_request,
           std::function<void()> before_wait)
    : loop_(loop),
      page_(page),
      run_request_(std::move(run_request)),
      before_wait_(std::move(before_wait)),
      baton_(1) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->id = i + 1;
  }
}

void Crew::work(std::uint32_t index) {
  Member& me = *members_[index];
  heartbeat::Slot& slot = page_.slot(index);
  use_alternate_stack();
  slot.tstate.store(reinterpret_cast<std::uint64_t>(PyThreadState_Get()),
                    std::memory_order_relaxed);
  slot.tid.store(static_cast<std::int32_t>(::syscall(SYS_gettid)), std::memory_order_release);
  GilSwitch gil;
  bool leading = baton_.held_by(me.id);
  while (!stopped()) leading = leading ? lead(index, gil) : rest(me, gil);
  if (index == 0) {
    gil.acquire();
    return;
  }
  // The main thread ends Python now. Who asks for the GIL then is ended by pthread_exit(), and its
  // unwinding cannot pass our frames: it aborted the process. Source: CPython's take_gil()
  gil.release();
  {
    const std::lock_guard lock(mutex_);  // kept while notifying: the other one destroys us then
    ++done_;
    one_is_done_.notify_one();
  }
  for (;;) ::pause();
}

void Crew::wait_for_others(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  one_is_done_.wait_for(lock, longest, [this] { return done_ + 1 >= members_.size(); });
}

// One step of the leader. @return whether it still leads
bool Crew::lead(std::uint32_t index, GilSwitch& gil) {
  if (Exchange* exchange = loop_.next_ready(); exchange != nullptr)
    return run_leading(index, *exchange, gil);
  if (!loop_.garbage().empty() && !drop_garbage(members_[index]->id, gil)) return false;
  if (loop_.finished()) {
    stop();
    return true;
  }
  gil.release();
  before_wait_();
  loop_.wait(-1);
  return true;
}

bool Crew::run_leading(std::uint32_t index, Exchange& exchange, GilSwitch& gil) {
  Member& me = *members_[index];
  const std::int64_t now = loop_.now_ns();
  const bool slow = slow_.load(std::memory_order_relaxed) > 0;
  exchange.connection().may_wait = !slow && loop_.has_more();
  if (slow) {
    if (Member* next = take_resting(); next != nullptr) {
      Loop::uncork(exchange.connection());
      loop_.send_held();
      ring_if_dozing();  // it sees who waits for the GIL
      hand_to(*next);
      return run(index, exchange, now, gil) != 0 && give_back(exchange);
    }
  }
  baton_.lend(me.id);
  ring_if_dozing();
  const std::int64_t ended = run(index, exchange, now, gil);
  const bool leads = baton_.take_back(me.id);
  if (ended == 0) {
    if (leads) loop_.note_time(base::monotonic_ns());
    return leads;
  }
  if (!leads) return give_back(exchange);
  loop_.note_time(ended);
  loop_.finish(exchange);
  return true;
}

// Whoever leads may be busy for a while, so its answer must not wait for that. @return false
bool Crew::give_back(Exchange& exchange) {
  Loop::uncork(exchange.connection());
  loop_.post(exchange);
  return false;
}

// Waiting for the GIL is part of the loan: it may last as well.
// @param now_ns  when the loop was busy last
// @return the time of its end, monotonic; 0: the request was taken from us before it began
std::int64_t Crew::run(std::uint32_t index, Exchange& exchange, std::int64_t now_ns,
                       GilSwitch& gil) {
  const bool since_the_last = gil.held();  // no wait came between: one reading of the clock will do
  if (!since_the_last && !enter_python(*members_[index], exchange, gil)) return 0;
  const pyapi::Gil held = gil.acquire();
  const std::int64_t began = since_the_last ? now_ns : base::monotonic_ns();
  run_request_(index, exchange, began, held);
  const std::int64_t ended = base::monotonic_ns();
  heartbeat::note_latency(page_.header().latency, ended - began);
  if (ended - began >= kSlowNs) {
    slow_.store(kSlowMemory, std::memory_order_relaxed);
  } else if (const int slow = slow_.load(std::memory_order_relaxed); slow > 0) {
    slow_.store(slow - 1, std::memory_order_relaxed);
  }
  return ended;
}

// While it waits for the GIL, the sentinel may take its request to another worker. @return false:
// it did, and the exchange may be another request's by now
bool Crew::enter_python(Member& me, Exchange& exchange, GilSwitch& gil) {
  const bool movable = loop_.may_pass_on(exchange.connection());
  if (movable) me.waiting.store(&exchange, std::memory_order_release);
  gil.acquire();
  return !movable || me.waiting.exchange(nullptr, std::memory_order_acq_rel) != nullptr;
}

// Sleeps until the baton comes. @return whether it came (else: time to stop)
bool Crew::rest(Member& member, GilSwitch& gil) {
  {
    const std::lock_guard lock(mutex_);
    member.resting = true;
    resting_.push_back(&member);
    resting_count_.store(static_cast<std::uint32_t>(resting_.size()), std::memory_order_relaxed);
  }
  const net::Baton::Id lender = baton_.lender();
  if (baton_.held_by(kSentinel)) {
    doorbell_.raise();  // it looks for resting threads when rung
  } else if (lender != 0 && slow_.load(std::memory_order_relaxed) > 0 && steal(lender, member.id)) {
    const std::lock_guard lock(mutex_);
    std::erase(resting_, &member);
    member.resting = false;
    resting_count_.store(static_cast<std::uint32_t>(resting_.size()), std::memory_order_relaxed);
    return true;
  }
  gil.release();
  while (!stopped()) {
    member.parker.park();
    if (baton_.held_by(member.id)) return true;
    if (member.probe.load(std::memory_order_acquire) == Probe::Asked) {
      gil.acquire();
      gil.release();
      member.probe.store(Probe::Had, std::memory_order_release);
      doorbell_.raise();
    }
  }
  return false;
}

// Destructors run Python, and the GIL may be far away: the loop goes on without us if it lasts.
// @return whether we still lead
bool Crew::drop_garbage(net::Baton::Id id, GilSwitch& gil) {
  std::vector<PyObject*> mine;
  mine.swap(loop_.garbage());
  baton_.lend(id);
  ring_if_dozing();
  gil.acquire();
  for (PyObject* object : mine) Py_DECREF(object);
  return baton_.take_back(id);
}

Crew::Member* Crew::take_resting() {
  if (resting_count_.load(std::memory_order_relaxed) == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  if (resting_.empty()) return nullptr;
  Member* member = resting_.back();  // the one that rested last: its stack is warm
  resting_.pop_back();
  member->resting = false;
  resting_count_.store(static_cast<std::uint32_t>(resting_.size()), std::memory_order_relaxed);
  return member;
}

// Takes the loop from a thread whose call lasts. Answers that wait for that call's are sent now.
bool Crew::steal(net::Baton::Id lender, net::Baton::Id thief) {
  if (!baton_.try_steal(lender, thief)) return false;
  loop_.note_time(base::monotonic_ns());
  loop_.uncork_all(page_.slot(lender - 1).connection_fd.load(std::memory_order_relaxed));
  return true;
}

void Crew::hand_to(Member& member) {
  baton_.give(member.id);
  member.parker.unpark();
}

void Crew::stop() {
  stop_.store(true, std::memory_order_release);
  for (const auto& member : members_) member->parker.unpark();
  doorbell_.raise();
}

// ---- the sentinel
// ----------------------------------------------------------------------------------

void Crew::ring_if_dozing() {
  // lend() is sequentially consistent, so either we see it doze or it sees the loan.
  if (dozing_.load() && dozing_.exchange(false)) doorbell_.raise();
}

int Crew::attend() {
  watch_gil();
  const int pause_ms = attending_ ? attend_loop() : watch_loan();
  return somebody_waits_ && (pause_ms < 0 || pause_ms > kTickMs) ? kTickMs : pause_ms;
}

// It is in a call, or between two, but neither in the application nor at rest.
bool Crew::waits_for_gil(const Member& member, std::uint32_t index) {
  const heartbeat::Slot& slot = page_.slot(index);
  if (&member == prober_ || baton_.held_by(member.id)) return false;
  if (slot.started_ns.load(std::memory_order_relaxed) != 0) return false;
  return slot.tid.load(std::memory_order_relaxed) != 0;
}

// While one thread keeps the GIL for long, what a worker reads is lost to the others: it must stay
// in its socket.
void Crew::watch_gil() {
  somebody_waits_ = false;
  bool gone =
      prober_ != nullptr && asked_ns_ != 0 && base::monotonic_ns() - asked_ns_ >= kGilGoneNs;
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    Member& member = *members_[i];
    {
      const std::lock_guard lock(mutex_);
      if (member.resting || !waits_for_gil(member, i)) {
        member.waits_since_ns = 0;
        continue;
      }
    }
    somebody_waits_ = true;
    const std::int64_t now = base::monotonic_ns();
    const std::uint32_t request = page_.slot(i).request_id.load(std::memory_order_relaxed);
    if (member.waits_since_ns == 0 || member.waits_since_request != request) {
      member.waits_since_ns = now;
      member.waits_since_request = request;
    }
    if (now - member.waits_since_ns < kGilGoneNs) continue;
    gone = true;
    take_request(member);
  }
  if (gone == std::exchange(gil_gone_, gone)) return;
  if (!attending_) loop_.ask_open(!gone);
}

// What was read already is not lost either, as long as it has not begun.
void Crew::take_request(Member& member) {
  Exchange* exchange = member.waiting.exchange(nullptr, std::memory_order_acq_rel);
  if (exchange != nullptr) loop_.return_unbegun(*exchange);
}

int Crew::watch_loan() {
  const net::Baton::Id lender = baton_.lender();
  const std::uint64_t loans = baton_.loans();
  const bool lasts = lender != 0 && loans == loans_seen_;
  loans_seen_ = loans;
  if (lasts && steal(lender, kSentinel)) {
    attending_ = true;
    return attend_loop();
  }
  const bool rung = quiet_ticks_ >= kQuietTicks && !dozing_.load();
  quiet_ticks_ = lender == 0 && !rung && !somebody_waits_ ? quiet_ticks_ + 1 : 0;
  if (quiet_ticks_ < kQuietTicks) return kTickMs;
  dozing_.store(true);
  if (baton_.lender() == 0) return -1;
  dozing_.store(false);
  return kTickMs;
}

// Nobody who cannot get the GIL shall read requests: another worker may serve them. @return whether
// somebody leads now
// @param comes  nobody rested a moment ago: who rests now has just had the GIL
bool Crew::give_to_resting(bool comes) {
  if (prober_ == nullptr) {
    prober_ = take_resting();
    if (prober_ == nullptr) return false;
    if (comes) return lead_on(*std::exchange(prober_, nullptr));
    asked_ns_ = base::monotonic_ns();
    prober_->probe.store(Probe::Asked, std::memory_order_release);
    prober_->parker.unpark();
  }
  if (prober_->probe.load(std::memory_order_acquire) != Probe::Had) return false;
  prober_->probe.store(Probe::None, std::memory_order_relaxed);
  return lead_on(*std::exchange(prober_, nullptr));
}

bool Crew::lead_on(Member& member) {
  loop_.set_open(!gil_gone_);
  attending_ = false;
  hand_to(member);
  return true;
}

int Crew::attend_loop() {
  if (give_to_resting(std::exchange(runs_loop_, false))) return kTickMs;
  if (prober_ != nullptr && base::monotonic_ns() - asked_ns_ < kProbeNs) return 1;
  runs_loop_ = true;
  loop_.set_open(false);
  before_wait_();
  loop_.turn();
  loop_.wait(0);
  loop_.turn();
  return loop_.timeout_ms();
}

}  // namespace tricorn::worker
