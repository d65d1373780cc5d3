#include "worker/sentinel.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/clock.h"
#include "base/signals_blocked.h"
#include "worker/fatal_signals.h"
#include "worker/stop_signals.h"

namespace tricorn::worker {
namespace {

constexpr int kSlowReaderMs = 100;  // between two tries to write what it did not take

enum Token : std::uint64_t { kControl, kBell, kDoorbell, kLoop };

}  // namespace

Sentinel::Sentinel(Loop& loop, Crew& crew, SentinelOptions options)
    : loop_(loop), crew_(crew), options_(std::move(options)) {
  poller_.add(options_.control, EPOLLIN, kControl);
  poller_.add(stop_signal_bell().fd(), EPOLLIN, kBell);
  poller_.add(crew_.doorbell().fd(), EPOLLIN, kDoorbell);
}

Sentinel::~Sentinel() {
  stop_.store(true);
  crew_.doorbell().raise();
  if (thread_.joinable()) thread_.join();
}

void Sentinel::start() {
  // Signals go to the threads that run the application, as they would without us.
  const base::SignalsBlocked blocked(kFatalSignals);
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "sentinel");
}

void Sentinel::run() {
  use_alternate_stack();
  while (!stop_.load()) {
    int timeout_ms = until_deadline(crew_.attend());
    if (!options_.flush_logs() && (timeout_ms < 0 || timeout_ms > kSlowReaderMs))
      timeout_ms = kSlowReaderMs;
    watch_loop();
    std::array<epoll_event, 4> events;
    const int count = poller_.wait(events, timeout_ms);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == kControl) read_control();
      if (events[i].data.u64 == kBell) on_signals();
      if (events[i].data.u64 == kDoorbell) crew_.doorbell().clear();
    }
    if (leave_by_ns_ != 0 && base::monotonic_ns() >= leave_by_ns_) ::_exit(0);
  }
}

// While the sentinel runs the loop, the loop's epoll is one of its sources: epoll nests. Source:
// epoll(7).
void Sentinel::watch_loop() {
  const int fd = crew_.poll_fd();
  if (fd == loop_fd_) return;
  if (loop_fd_ >= 0) poller_.remove(loop_fd_);
  if (fd >= 0) poller_.add(fd, EPOLLIN, kLoop);
  loop_fd_ = fd;
}

int Sentinel::until_deadline(int timeout_ms) const {
  if (leave_by_ns_ == 0) return timeout_ms;
  const std::int64_t left_ms =
      std::max<std::int64_t>((leave_by_ns_ - base::monotonic_ns()) / 1'000'000 + 1, 0);
  return static_cast<int>(timeout_ms < 0 ? left_ms : std::min<std::int64_t>(left_ms, timeout_ms));
}

void Sentinel::read_control() {
  for (;;) {
    base::UniqueFd passed;
    const auto received =
        heartbeat::receive_message(options_.control, order_, passed, MSG_DONTWAIT);
    if (received == heartbeat::Received::Nothing) return;
    if (received == heartbeat::Received::Closed) {
      poller_.remove(options_.control);
      leave_with_grace();  // the arbiter is gone, and with it whoever could restart us
      return;
    }
    obey(order_, std::move(passed));
  }
}

void Sentinel::obey(const heartbeat::Message& order, base::UniqueFd passed) {
  switch (order.verb) {
    case heartbeat::Verb::Go:
      release_crashed_thread();
      break;
    case heartbeat::Verb::Drain:
      loop_.ask_to_drain();
      break;
    case heartbeat::Verb::Adopt:
      if (passed.valid()) {
        loop_.adopt(std::move(passed), order.number == 1, {order.payload, order.bytes});
      } else {
        loop_.note_adopted();  // no descriptor was free for it: the arbiter need not wait
      }
      break;
    case heartbeat::Verb::Interrupt: {
      std::uint32_t request_id = 0;
      if (order.bytes != sizeof request_id) break;
      std::memcpy(&request_id, order.payload, sizeof request_id);
      options_.interrupt(static_cast<std::uint32_t>(order.number), request_id);
      break;
    }
    case heartbeat::Verb::Release:
      loop_.release(order.number);
      break;
    case heartbeat::Verb::Look:
      loop_.look_again();
      break;
    case heartbeat::Verb::OfferAgain:
      loop_.offer_again(static_cast<std::uint32_t>(std::max(order.number, 0)));
      break;
    case heartbeat::Verb::ReopenLogs:
      options_.reopen_logs();
      break;
    default:
      break;  // not for a worker
  }
}

void Sentinel::on_signals() {
  const StopSignals came = take_stop_signals();
  if (came.reopen) options_.reopen_logs();
  if (came.graceful || came.quick) loop_.ask_to_drain();
}

void Sentinel::leave_with_grace() {
  using heartbeat::Drain;
  loop_.ask_to_drain(Drain::kLeave | Drain::kLastAtDoor | Drain::kAlone);
  const auto grace =
      std::chrono::duration_cast<std::chrono::nanoseconds>(options_.graceful_timeout);
  leave_by_ns_ = base::monotonic_ns() + grace.count();
}

}  // namespace tricorn::worker
