#include "worker/crew.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "base/clock.h"
#include "worker/fatal_signals.h"

namespace tricorn::worker {
namespace {

// A call is slow from here on, and makes the next ones be treated as slow too.
constexpr std::int64_t kSlowNs = 2'000'000;
constexpr int kSlowMemory = 16;
// A client whose next answer comes sooner is still busy with the one before: no wake of it is
// saved. Source: docs/decisions/0007, bench cases hello and json.
constexpr std::int64_t kWorthWaitingNs = 10'000;

}  // namespace

Crew::Crew(Loop& loop, const heartbeat::Page& page, std::uint32_t threads, RunRequest run_request,
           std::function<void()> before_wait)
    : loop_(loop),
      page_(page),
      run_request_(std::move(run_request)),
      before_wait_(std::move(before_wait)),
      roster_(threads),
      baton_(roster_.baton()),
      caretaker_(roster_, page, *this) {}

void Crew::work(std::uint32_t index) {
  crew::Member& me = roster_.member(index);
  heartbeat::Slot& slot = page_.slot(index);
  use_alternate_stack();
  slot.tstate.store(reinterpret_cast<std::uint64_t>(PyThreadState_Get()),
                    std::memory_order_relaxed);
  slot.tid.store(static_cast<std::int32_t>(::syscall(SYS_gettid)), std::memory_order_release);
  GilSwitch gil;
  bool leading = baton_.held_by(me.id);
  while (!stopped()) leading = leading ? lead(me, gil) : rest(me, gil);
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
  one_is_done_.wait_for(lock, longest, [this] { return done_ + 1 >= roster_.size(); });
}

// One step of the leader. @return whether it still leads
bool Crew::lead(crew::Member& me, GilSwitch& gil) {
  if (Exchange* exchange = loop_.next_ready(); exchange != nullptr)
    return run_leading(me, *exchange, gil);
  if (!loop_.garbage().empty() && !drop_garbage(me.id, gil)) return false;
  if (loop_.finished()) {
    stop();
    return true;
  }
  gil.release();
  before_wait_();
  loop_.wait(-1);
  return true;
}

bool Crew::run_leading(crew::Member& me, Exchange& exchange, GilSwitch& gil) {
  const std::int64_t now = loop_.now_ns();
  const bool slow = slow_.load(std::memory_order_relaxed) > 0;
  exchange.connection().may_wait = !slow && took_ns_ >= kWorthWaitingNs && loop_.has_more();
  if (slow) {
    if (crew::Member* next = roster_.take_resting(); next != nullptr) {
      Loop::uncork(exchange.connection());
      loop_.send_held();
      roster_.ring_if_dozing();  // it sees who waits for the GIL
      roster_.hand_to(*next);
      return run(me, exchange, now, gil) != 0 && give_back(exchange);
    }
  }
  baton_.lend(me.id);
  roster_.ring_if_dozing();
  const std::int64_t ended = run(me, exchange, now, gil);
  const bool leads = baton_.take_back(me.id);
  if (ended == 0) {
    if (leads) loop_.note_time(base::monotonic_ns());
    return leads;
  }
  if (!leads) return give_back(exchange);
  took_ns_ = ended - now;
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
std::int64_t Crew::run(crew::Member& me, Exchange& exchange, std::int64_t now_ns, GilSwitch& gil) {
  const bool since_the_last = gil.held();  // no wait came between: one reading of the clock will do
  if (!since_the_last && !enter_python(me, exchange, gil)) return 0;
  const pyapi::Gil held = gil.acquire();
  const std::int64_t began = since_the_last ? now_ns : base::monotonic_ns();
  run_request_(me.index, exchange, began, held);
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
bool Crew::enter_python(crew::Member& me, Exchange& exchange, GilSwitch& gil) {
  const bool movable = loop_.may_pass_on(exchange.connection());
  if (movable) me.waiting.store(&exchange, std::memory_order_release);
  gil.acquire();
  return !movable || me.waiting.exchange(nullptr, std::memory_order_acq_rel) != nullptr;
}

// Sleeps until the baton comes. @return whether it came (else: time to stop)
bool Crew::rest(crew::Member& me, GilSwitch& gil) {
  roster_.begin_rest(me);
  if (lead_instead_of_resting(me)) return true;
  gil.release();
  while (!stopped()) {
    me.parker.park();
    if (baton_.held_by(me.id)) return true;
    if (me.probe.load(std::memory_order_acquire) == crew::Probe::Asked) {
      gil.acquire();
      gil.release();
      me.probe.store(crew::Probe::Had, std::memory_order_release);
      doorbell().raise();
    }
  }
  return false;
}

// While calls are slow, nobody waits for the sentinel's tick.
bool Crew::lead_instead_of_resting(crew::Member& me) {
  if (baton_.held_by(crew::Roster::kSentinel)) {
    doorbell().raise();  // it looks for resting threads when rung
    return false;
  }
  const net::Baton::Id lender = baton_.lender();
  if (lender == 0 || slow_.load(std::memory_order_relaxed) == 0) return false;
  if (!baton_.try_steal(lender, me.id)) return false;
  on_stolen(lender - 1);
  roster_.end_rest(me);
  return true;
}

// Destructors run Python, and the GIL may be far away: the loop goes on without us if it lasts.
// @return whether we still lead
bool Crew::drop_garbage(net::Baton::Id id, GilSwitch& gil) {
  std::vector<PyObject*> mine;
  mine.swap(loop_.garbage());
  baton_.lend(id);
  roster_.ring_if_dozing();
  gil.acquire();
  for (PyObject* object : mine) Py_DECREF(object);
  return baton_.take_back(id);
}

void Crew::stop() {
  stop_.store(true, std::memory_order_release);
  roster_.wake_all();
}

// ---- the loop, for whoever takes it over

// Answers that wait for that call's are sent now.
void Crew::on_stolen(std::uint32_t lender) {
  loop_.note_time(base::monotonic_ns());
  loop_.uncork_all(page_.slot(lender).connection_fd.load(std::memory_order_relaxed));
}

int Crew::work_loop() {
  before_wait_();
  loop_.turn();
  loop_.wait(0);
  loop_.turn();
  return loop_.timeout_ms();
}

}  // namespace tricorn::worker
