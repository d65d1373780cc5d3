// Looks after the loop while calls last, on the sentinel's thread, which never takes the GIL.
//
//   watching --a call lasts: steals the baton--> attending --a thread rests and has had the GIL-->
//   watching
//
// While it attends and nobody rests, or whoever rests does not get the GIL, it runs the loop itself
// and keeps the doors closed: a request that is read would wait here, one that is not can go to
// another worker. An app thread that waits for the GIL for long closes them as well, and gives up
// the request that it waits with. Source: docs/decisions/0002.
#pragma once

#include <cstdint>
#include <vector>

#include "crew/roster.h"
#include "heartbeat/page.h"

namespace tricorn::crew {

/// The loop as its caretaker needs it. Needs the baton, unless marked "any thread".
class LoopInCare {
 public:
  virtual ~LoopInCare() = default;
  /// The baton was stolen from app thread `lender`, whose call lasts.
  virtual void on_stolen(std::uint32_t lender) = 0;
  /// Whether requests are read.
  virtual void set_doors(heartbeat::Doors doors) = 0;
  /// set_doors() by whoever has the baton, soon. Any thread.
  virtual void ask_doors(heartbeat::Doors doors) = 0;
  /// Does what can be done without the application.
  /// @return milliseconds until there is something to do without an event, -1: never
  virtual int work_loop() = 0;
  /// A request that its thread will not begin soon. Any thread.
  virtual void return_unbegun(Unbegun& request) = 0;
};

class Caretaker {
 public:
  Caretaker(Roster& roster, const heartbeat::Page& page, LoopInCare& loop);

  /// @param now_ns  monotonic
  /// @return milliseconds after which to call again, -1: when the doorbell or the loop asks
  [[nodiscard]] int attend(std::int64_t now_ns);
  /// It has the baton, and nobody takes it at once.
  [[nodiscard]] bool runs_loop() const { return runs_loop_; }

 private:
  struct Wait {                 // of one member, for the GIL
    std::uint32_t request = 0;  // Slot::request_id
    std::int64_t since_ns = 0;  // 0: it does not wait
  };

  int watch_loan(std::int64_t now_ns);
  int attend_loop(std::int64_t now_ns);
  bool give_to_resting(bool comes, std::int64_t now_ns);
  bool lead_on(Member& member);
  [[nodiscard]] heartbeat::Doors doors_unless_stuck(heartbeat::Doors doors) const {
    return gil_gone_ ? heartbeat::Doors::Stuck : doors;
  }
  void watch_gil(std::int64_t now_ns);
  bool waits_for_gil(const Member& member);
  bool waits_long(const Member& member, std::int64_t now_ns);
  void take_request(Member& member);

  Roster& roster_;
  const heartbeat::Page& page_;
  LoopInCare& loop_;
  std::vector<Wait> waits_;      // by member
  bool attending_ = false;       // it has the baton
  bool runs_loop_ = false;       // ... and nobody takes it at once
  Member* prober_ = nullptr;     // gets the baton when it has had the GIL
  std::int64_t asked_ns_ = 0;    // since when it tries
  bool somebody_waits_ = false;  // for the GIL
  bool gil_gone_ = false;        // ... for long
  std::uint64_t loans_seen_ = 0;
  int quiet_ticks_ = 0;
  int tick_ms_;  // the last one's
};

}  // namespace tricorn::crew
