// The threads of a worker and how the loop travels between them.
//
// All app threads are equal. One of them leads: it holds the baton, waits for events, and calls the
// application inline with the baton lent out. The others rest. A call that lasts costs its thread
// the baton: the sentinel gives it to a resting app thread, or runs the loop itself while none
// rests (crew/caretaker.h). While recent calls were slow the leader passes the baton on before it
// calls, so nobody has to wait for the sentinel's tick. Source: docs/decisions/0002.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "crew/caretaker.h"
#include "crew/roster.h"
#include "heartbeat/page.h"
#include "pyapi/gil.h"
#include "worker/loop.h"

namespace tricorn::worker {

/// Runs one request to its end on app thread `index`. Called with the GIL and without the loop.
/// @param began_ns  monotonic, now
using RunRequest = std::function<void(std::uint32_t index, Exchange& exchange,
                                      std::int64_t began_ns, const pyapi::Gil& gil)>;

class Crew final : private crew::LoopInCare {
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
  [[nodiscard]] const net::Wakeup& doorbell() const { return roster_.doorbell(); }
  /// Looks after the loop, as crew::Caretaker.
  /// @return milliseconds after which to call again, -1: when doorbell() or poll_fd() asks
  [[nodiscard]] int attend() { return caretaker_.attend(base::monotonic_ns()); }
  /// The loop's descriptor while the sentinel runs the loop, else -1.
  [[nodiscard]] int poll_fd() const { return caretaker_.runs_loop() ? loop_.poll_fd() : -1; }

 private:
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

  bool lead(crew::Member& me, GilSwitch& gil);
  bool run_leading(crew::Member& me, Exchange& exchange, GilSwitch& gil);
  bool give_back(Exchange& exchange);
  std::int64_t run(crew::Member& me, Exchange& exchange, std::int64_t now_ns, GilSwitch& gil);
  bool enter_python(crew::Member& me, Exchange& exchange, GilSwitch& gil);
  bool rest(crew::Member& me, GilSwitch& gil);
  bool lead_instead_of_resting(crew::Member& me);
  bool drop_garbage(net::Baton::Id id, GilSwitch& gil);

  void on_stolen(std::uint32_t lender) override;
  void set_doors(heartbeat::Doors doors) override { loop_.set_doors(doors); }
  void ask_doors(heartbeat::Doors doors) override { loop_.ask_doors(doors); }
  int work_loop() override;
  void return_unbegun(crew::Unbegun& request) override {
    loop_.return_unbegun(static_cast<Exchange&>(request));
  }

  Loop& loop_;
  const heartbeat::Page& page_;
  RunRequest run_request_;
  std::function<void()> before_wait_;
  crew::Roster roster_;
  net::Baton& baton_;
  crew::Caretaker caretaker_;  // the sentinel's own
  std::atomic<int> slow_{0};   // how many more calls count as slow
  std::int64_t took_ns_ = 0;   // the leader's last request, from the loop back to it; the baton's
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::size_t done_ = 0;  // app threads that are; under mutex_
  std::condition_variable one_is_done_;
};

}  // namespace tricorn::worker
