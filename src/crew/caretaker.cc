#include "crew/caretaker.h"

#include <utility>

namespace tricorn::crew {
namespace {

using heartbeat::Doors;

// A call that still lasts at the second tick after it began loses the loop: 5 to 10 ms.
// Source: docs/decisions/0002, measured with bench cases hello and mixed.
constexpr int kTickMs = 5;
// While so many calls are made, many wait behind one that lasts: 1 to 2 ms.
constexpr int kBusyTickMs = 1;
constexpr std::uint64_t kBusyLoansPerMs = 2;
// Ticks without a call after which the sentinel sleeps until there is one.
constexpr int kQuietTicks = 20;
// From here on, requests that the application has not seen are for other workers.
constexpr std::int64_t kGilGoneNs = 100'000'000;
// A thread that is asked whether the GIL can be had gets this long before the loop goes on without.
constexpr std::int64_t kProbeNs = std::int64_t{kTickMs} * 1'000'000;

}  // namespace

Caretaker::Caretaker(Roster& roster, const heartbeat::Page& page, LoopInCare& loop)
    : roster_(roster), page_(page), loop_(loop), waits_(roster.size()), tick_ms_(kTickMs) {}

int Caretaker::attend(std::int64_t now_ns) {
  watch_gil(now_ns);
  const int pause_ms = attending_ ? attend_loop(now_ns) : watch_loan(now_ns);
  return somebody_waits_ && (pause_ms < 0 || pause_ms > kTickMs) ? kTickMs : pause_ms;
}

// ---- the loop

int Caretaker::watch_loan(std::int64_t now_ns) {
  net::Baton& baton = roster_.baton();
  const net::Baton::Id lender = baton.lender();
  const std::uint64_t loans = baton.loans();
  const bool lasts = lender != 0 && loans == loans_seen_;
  const bool busy = loans - loans_seen_ >= kBusyLoansPerMs * static_cast<unsigned>(tick_ms_);
  loans_seen_ = loans;
  if (lasts && baton.try_steal(lender, Roster::kSentinel)) {
    loop_.on_stolen(lender - 1);
    attending_ = true;
    return attend_loop(now_ns);
  }
  const bool rung = quiet_ticks_ >= kQuietTicks && !roster_.dozing();
  quiet_ticks_ = lender == 0 && !rung && !somebody_waits_ ? quiet_ticks_ + 1 : 0;
  if (quiet_ticks_ >= kQuietTicks && roster_.try_doze()) return -1;
  return tick_ms_ = busy ? kBusyTickMs : kTickMs;
}

int Caretaker::attend_loop(std::int64_t now_ns) {
  if (give_to_resting(std::exchange(runs_loop_, false), now_ns)) return kTickMs;
  if (prober_ != nullptr && now_ns - asked_ns_ < kProbeNs) return 1;
  runs_loop_ = true;
  loop_.set_doors(doors_unless_stuck(Doors::Busy));
  return loop_.work_loop();
}

// Nobody who cannot get the GIL shall read requests: another worker may serve them. @return whether
// somebody leads now
// @param comes  nobody rested a moment ago: who rests now has just had the GIL
bool Caretaker::give_to_resting(bool comes, std::int64_t now_ns) {
  if (prober_ == nullptr) {
    prober_ = roster_.take_resting();
    if (prober_ == nullptr) return false;
    if (comes) return lead_on(*std::exchange(prober_, nullptr));
    asked_ns_ = now_ns;
    prober_->probe.store(Probe::Asked, std::memory_order_release);
    prober_->parker.unpark();
  }
  if (prober_->probe.load(std::memory_order_acquire) != Probe::Had) return false;
  prober_->probe.store(Probe::None, std::memory_order_relaxed);
  return lead_on(*std::exchange(prober_, nullptr));
}

bool Caretaker::lead_on(Member& member) {
  loop_.set_doors(doors_unless_stuck(Doors::Open));
  attending_ = false;
  roster_.hand_to(member);
  return true;
}

// ---- the GIL

// While one thread keeps the GIL for long, what a worker reads is lost to the others: it must stay
// in its socket.
void Caretaker::watch_gil(std::int64_t now_ns) {
  somebody_waits_ = false;
  bool gone = prober_ != nullptr && asked_ns_ != 0 && now_ns - asked_ns_ >= kGilGoneNs;
  for (std::uint32_t i = 0; i < roster_.size(); ++i) {
    Member& member = roster_.member(i);
    if (!waits_for_gil(member)) {
      waits_[i] = {};
      continue;
    }
    somebody_waits_ = true;
    if (!waits_long(member, now_ns)) continue;
    gone = true;
    take_request(member);
  }
  if (gone == std::exchange(gil_gone_, gone)) return;
  if (!attending_) loop_.ask_doors(doors_unless_stuck(Doors::Open));
}

// It is in a call, or between two, but neither in the application nor at rest.
bool Caretaker::waits_for_gil(const Member& member) {
  const heartbeat::Slot& slot = page_.slot(member.index);
  if (roster_.rests(member) || &member == prober_ || roster_.baton().held_by(member.id))
    return false;
  if (slot.started_ns.load(std::memory_order_relaxed) != 0) return false;
  return slot.tid.load(std::memory_order_relaxed) != 0;
}

bool Caretaker::waits_long(const Member& member, std::int64_t now_ns) {
  Wait& wait = waits_[member.index];
  const std::uint32_t request = page_.slot(member.index).request_id.load(std::memory_order_relaxed);
  if (wait.since_ns == 0 || wait.request != request) wait = {request, now_ns};
  return now_ns - wait.since_ns >= kGilGoneNs;
}

// What was read already is not lost either, as long as it has not begun.
void Caretaker::take_request(Member& member) {
  Unbegun* request = member.waiting.exchange(nullptr, std::memory_order_acq_rel);
  if (request != nullptr) loop_.return_unbegun(*request);
}

}  // namespace tricorn::crew
