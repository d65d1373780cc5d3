// The thread that Python cannot stop: it never takes the GIL.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "base/log.h"
#include "heartbeat/wire.h"
#include "net/poller.h"
#include "worker/crew.h"

namespace tricorn::worker {

/// What the sentinel needs besides the crew and the loop.
struct SentinelOptions {
  int control = -1;  ///< the worker's SEQPACKET end, not owned
  std::chrono::seconds graceful_timeout{30};
  /// Ends a request: app thread, Slot::request_id. Called on the sentinel's thread, no GIL.
  std::function<void(std::uint32_t index, std::uint32_t request_id)> interrupt;
  std::function<void()> reopen_logs;  ///< likewise
  std::function<bool()> flush_logs;   ///< likewise; false: a reader is slow, call again soon
};

/// Looks after calls that last (Crew::attend), does what the arbiter says, turns signals into
/// actions, and leaves with the process when the arbiter is gone and requests outlive the graceful
/// time-out.
class Sentinel {
 public:
  Sentinel(Loop& loop, Crew& crew, SentinelOptions options);
  /// Stops and joins the thread.
  ~Sentinel();
  Sentinel(const Sentinel&) = delete;
  Sentinel& operator=(const Sentinel&) = delete;

  void start();

 private:
  void run();
  void watch_loop();
  void read_control();
  void obey(const heartbeat::Message& order, base::UniqueFd passed);
  void on_signals();
  void leave_with_grace();
  [[nodiscard]] int until_deadline(int timeout_ms) const;

  Loop& loop_;
  Crew& crew_;
  SentinelOptions options_;
  net::Poller poller_;
  int loop_fd_ = -1;              // the loop's descriptor while it is in poller_
  std::int64_t leave_by_ns_ = 0;  // 0: no deadline
  std::atomic<bool> stop_{false};
  std::thread thread_;
  heartbeat::Message order_;
};

}  // namespace tricorn::worker
