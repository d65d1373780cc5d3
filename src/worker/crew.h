// The threads of a worker and how the loop travels between them.
//
// All app threads are equal. One of them leads: it holds the baton, waits for events, and calls the
// application inline with the baton lent out. The others rest. A call that lasts costs its thread
// the baton: the sentinel gives it to a resting app thread, or runs the loop itself while none
// rests. While recent calls were slow the leader passes the baton on before it calls, so nobody has
// to wait for the sentinel's tick. Source: docs/decisions/0002.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "heartbeat/page.h"
#include "net/baton.h"
#include "net/parker.h"
#include "net/poller.h"
#include "pyapi/gil.h"
#include "worker/loop.h"

namespace tricorn::worker {

/// Runs one request to its end on app thread `index`. Called with the GIL and without the loop.
/// @param began_ns  monotonic, now
using RunRequest = std::function<void(std::uint32_t index, Exchange& exchange,
                                      std::int64_t began_ns, const pyapi::Gil& gil)>;

class Crew {
 public:
  /// @param threads  app threads, at least 1
  /// @param before_wait  called before the leader waits for events, without the GIL
  Crew(Loop& loop, const heartbeat::Page& page, std::uint32_t threads, RunRequest run_request,
       std::function<void()> before_wait);

  /// The life of app thread `index`. Thread 0 leads first, and returns when the loop has finished;
  /// the others never come back to Python. The caller holds the GIL.
  void work(std::uint32_t index);
  /// Until no other app thread will ask for the GIL again: then Python can be ended. Thread 0,
  /// without the GIL. @param longest  one that is lost in a call never gets there
  void wait_for_others(std::chrono::milliseconds longest);
  /// Everybody goes home. Any thread.
  void stop();
  [[nodiscard]] bool stopped() const { return stop_.load(std::memory_order_acquire); }

  // ---- for the sentinel's thread only ----
  /// Rung when the sentinel has something to look at.
  [[nodiscard]] const net::Wakeup& doorbell() const { return doorbell_; }
  /// Looks after the loop: takes it over from a call that lasts, works it while no app thread
  /// rests.
  /// @return milliseconds after which to call again, -1: when doorbell() or poll_fd() asks
  [[nodiscard]] int attend();
  /// The loop's descriptor while the sentinel runs the loop, else -1.
  [[nodiscard]] int poll_fd() const { return runs_loop_ ? loop_.poll_fd() : -1; }

 private:
  /// Of the GIL, by a thread that rests.
  enum class Probe { None, Asked, Had };

  struct Member {
    net::Baton::Id id = 0;
    net::Parker parker;
    bool resting = false;  // under mutex_
    std::atomic<Probe> probe{Probe::None};
    /// Its request while it waits for the GIL; whoever sets it to null has the request.
    std::atomic<Exchange*> waiting{nullptr};
    // the sentinel's own
    std::uint32_t waits_since_request = 0;  // Slot::request_id
    std::int64_t waits_since_ns = 0;        // 0: it does not wait for the GIL
  };

  /// Holds or does not hold the GIL, as its thread needs it.
  class GilSwitch {
   public:
    [[nodiscard]] bool held() const { return saved_ == nullptr; }
    void release() {
      if (saved_ == nullptr) saved_ = PyEval_SaveThread();
    }
    pyapi::Gil acquire() {
      if (saved_ != nullptr) PyEval_RestoreThread(std::exchange(saved_, nullptr));
      return pyapi::Gil::held_by_caller();
    }

   private:
    PyThreadState* saved_ = nullptr;
  };

  bool lead(std::uint32_t index, GilSwitch& gil);
  bool run_leading(std::uint32_t index, Exchange& exchange, GilSwitch& gil);
  bool give_back(Exchange& exchange);
  std::int64_t run(std::uint32_t index, Exchange& exchange, std::int64_t now_ns, GilSwitch& gil);
  bool enter_python(Member& me, Exchange& exchange, GilSwitch& gil);
  bool rest(Member& member, GilSwitch& gil);
  bool drop_garbage(net::Baton::Id id, GilSwitch& gil);
  Member* take_resting();
  void hand_to(Member& member);
  void ring_if_dozing();
  bool steal(net::Baton::Id lender, net::Baton::Id thief);
  int attend_loop();
  int watch_loan();
  bool give_to_resting(bool comes);
  bool lead_on(Member& member);
  void watch_gil();
  bool waits_for_gil(const Member& member, std::uint32_t index);
  void take_request(Member& member);

  static constexpr net::Baton::Id kSentinel = 0x7FFF'0000;

  Loop& loop_;
  const heartbeat::Page& page_;
  RunRequest run_request_;
  std::function<void()> before_wait_;
  std::vector<std::unique_ptr<Member>> members_;
  net::Baton baton_;
  net::Wakeup doorbell_;
  std::mutex mutex_;  // guards `resting`
  std::vector<Member*> resting_;
  std::atomic<std::uint32_t> resting_count_{0};
  std::atomic<int> slow_{0};         // how many more calls count as slow
  std::atomic<bool> dozing_{false};  // the sentinel sleeps until somebody lends
  std::atomic<bool> stop_{false};
  std::size_t done_ = 0;  // app threads that are; under mutex_
  std::condition_variable one_is_done_;

  // the sentinel's own
  bool attending_ = false;       // it has the baton
  bool runs_loop_ = false;       // ... and nobody takes it at once
  Member* prober_ = nullptr;     // gets the baton when it has had the GIL
  std::int64_t asked_ns_ = 0;    // since when it tries
  bool somebody_waits_ = false;  // for the GIL
  bool gil_gone_ = false;        // ... for long
  std::uint64_t loans_seen_ = 0;
  int quiet_ticks_ = 0;
};

}  // namespace tricorn::worker
