// The event loop of a worker: accepts, reads, parses, flushes, and cuts clients that are too slow.
//
// Every member needs the baton (net/baton.h), whoever holds it, with or without the GIL. What
// Python owns is only put aside here (garbage()); an app thread drops it. The exceptions are marked
// "any thread".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "heartbeat/page.h"
#include "net/address.h"
#include "net/deadlines.h"
#include "net/poller.h"
#include "worker/connection.h"
#include "worker/exchange.h"
#include "worker/notices.h"

namespace tricorn::worker {

/// A socket to accept from. The descriptor is the process's, inherited and not owned.
struct Listener {
  int fd = -1;
  net::Endpoint endpoint;
  std::string name;  ///< as logged, e.g. "http://127.0.0.1:8000"
};

struct LoopOptions {
  http::Limits limits;
  ClientTimeouts client;
  TrustedPeers forwarded_from;  ///< forwarded_allow_ips
  ProxyRules proxy;
  std::int64_t header_timeout_ns =
      10'000'000'000;  ///< from a request's first byte (or accept) to its head's end
  std::int64_t keepalive_ns = 2'000'000'000;  ///< between requests; 0 closes after each
  std::uint32_t connections_max = 1000;
  bool shared_listeners = false;  ///< other workers accept from them too
  /// Passes a connection on to another worker; the descriptor stays the caller's to close.
  /// @param read  what was read of a request that has not begun; empty between requests
  /// @return false: nobody takes it
  std::function<bool(int fd, std::string_view read)> give_away;
  /// The same for one that another worker should serve because no thread here is free; it comes
  /// back by adopt() when none is free there either.
  std::function<bool(int fd, std::string_view read)> offer;
  /// Told of a client that was too slow. @return a reference for its answer, or nothing
  std::function<std::string(const Notice&)> tell;
  /// Told when it stops accepting with connections in the backlog.
  std::function<void()> leave_backlog;
};

class Loop {
 public:
  Loop(LoopOptions options, std::vector<Listener> listeners, const heartbeat::Page& page,
       const base::Log& log);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// The next whole request, working through events that are in already. Null: wait() first.
  /// The exchange's connection is Running when it comes.
  [[nodiscard]] Exchange* next_ready();
  /// Handles the events that are in without taking a request out: for a holder that runs none.
  void turn();
  /// Milliseconds until something must be done without an event, -1: never.
  [[nodiscard]] int timeout_ms() const { return timeout_until_deadline(-1); }
  /// Waits for events, at most until the next deadline. Blocks: no GIL.
  /// @param longest_ms  -1: as long as it takes
  void wait(int longest_ms);
  /// Takes a connection back whose request was answered.
  void finish(Exchange& exchange);

  /// Hands an exchange back from a thread that does not hold the baton; the holder is woken. Any
  /// thread.
  void post(Exchange& exchange);
  /// Whether another worker may get a request of it that is read here. Its holder, or the baton's.
  [[nodiscard]] bool may_pass_on(const Connection& connection) const {
    return options_.shared_listeners && !connection.came_back && connection.proxied == nullptr;
  }
  /// Hands an exchange back whose request will not be begun here soon: it goes to another worker,
  /// or to the end of the queue. Any thread.
  void return_unbegun(Exchange& exchange);
  /// Gives the loop a client connection of another worker, or one back that was offered. Any
  /// thread.
  /// @param read  what was read there of a request that nobody has begun
  void adopt(base::UniqueFd connection, bool came_back, std::string read);
  /// A connection from the arbiter is dealt with. Any thread.
  void note_adopted() const { page_.header().adopted.fetch_add(1, std::memory_order_release); }
  /// Tells that the keeper has answered on a descriptor and will not write to it any more: it is
  /// closed when its request has ended. Any thread.
  void release(int connection_fd);
  /// Looks into the backlog without having been woken for it. Any thread.
  void look_again();
  /// Offers requests that came back once more, those first that have waited longest. Any thread.
  /// @param most  at most so many of them
  void offer_again(std::uint32_t most);
  /// Starts leaving: no new connections, idle ones go, responses end their connection. Any thread.
  /// @param how  bits of heartbeat::Drain
  void ask_to_drain(std::uint32_t how = heartbeat::Drain::kLeave);
  /// Wakes whoever waits. Any thread, async-signal-safe.
  void wake() const { wakeup_.raise(); }

  /// Draining, and nothing is left to do.
  [[nodiscard]] bool finished() const { return draining_ && open_ == 0; }
  /// While no app thread is free, new connections are left in the backlog for other workers, and
  /// requests in their sockets: if this worker is killed meanwhile, nobody has seen them and
  /// another one serves them.
  void set_doors(heartbeat::Doors doors);
  /// What the sentinel watches while it holds the baton: readable when wait() would return
  /// something.
  [[nodiscard]] int poll_fd() const { return poller_.fd(); }
  /// set_doors() by whoever holds the baton, soon. Any thread.
  void ask_doors(heartbeat::Doors doors);
  /// Time of the last wait() or note_time(), monotonic nanoseconds.
  [[nodiscard]] std::int64_t now_ns() const { return now_ns_; }
  void note_time(std::int64_t now_ns) { now_ns_ = now_ns; }
  [[nodiscard]] const Listener& listener(const Connection& connection) const {
    return listeners_[connection.listener];
  }
  /// Whether others may be served at once when the one that next_ready() gave is answered.
  [[nodiscard]] bool has_more() const { return event_at_ < event_count_ || !ready_.empty(); }
  /// Sends the answers that wait to leave with others.
  void send_held();
  /// Sends its last answer if that waits for the next one's. Its holder, or the baton's.
  static void uncork(Connection& connection);
  /// Sends the answers that wait for those of requests behind them, which may take long.
  /// @param running_fd  the connection whose request runs; -1 none
  void uncork_all(int running_fd);

  /// References whose bytes were sent. The caller has the GIL and drops them.
  std::vector<PyObject*>& garbage() { return garbage_; }

 private:
  struct Adopted {
    base::UniqueFd fd;
    bool came_back = false;
    std::string read;
  };

  [[nodiscard]] bool drain_asked() const {
    return page_.header().drain_asked.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] bool drains_with(std::uint32_t bit) const {
    return (page_.header().drain_asked.load(std::memory_order_relaxed) & bit) != 0;
  }
  void set_accepting(bool accepting);
  bool accept_one(std::uint32_t index);
  void follow_drain();
  void leave_listeners();
  void part_with(Connection& connection);
  void note_backlog() const;
  void accept_from(std::uint32_t index);
  void tell_of_refusal(const std::string& what);
  void go_to_the_back(std::uint32_t index);
  Connection* open_connection(int fd, std::uint8_t listener, const heartbeat::Client& client,
                              heartbeat::Hold hold = heartbeat::Hold::Idle);
  Exchange* on_event(const epoll_event& event);
  Exchange* on_readable(Connection& connection);
  Exchange* after_intake(Connection& connection, Intake intake);
  void refuse(Connection& connection);
  void answer_and_close(Connection& connection, std::string_view answer);
  void queue(Connection& connection);
  void hold(Connection& connection);
  void open_adopted(Adopted adopted);
  void resume(Connection& connection, std::string_view read);
  bool offer(Connection& connection, std::string_view read);
  bool offer_whole(Connection& connection);
  void offer_queued();
  void see_to_deferred();
  void see_to_waiting();
  void offer_returned(std::uint32_t most);
  void note_waiting() const;
  void on_unbegun(Connection& connection);
  void put_off(Connection& connection);
  void hand_on(Connection& connection);
  template <class Action>
  void expire(net::DeadlineQueue& queue, Action action);
  Exchange* make_running(Connection& connection);
  void on_writable(Connection& connection);
  void on_lingering(Connection& connection);
  void after_response(Connection& connection);
  void go_idle(Connection& connection);
  void linger(Connection& connection);
  void watch_again(const Connection& connection);
  void close(Connection& connection);
  void forget(Connection& connection);
  void part(Connection& connection, Parting who);
  void on_released(int fd);
  void set_hold(const Connection& connection, heartbeat::Hold hold);
  Exchange& exchange_for(Connection& connection);
  void release_exchange(Connection& connection);
  void read_mailbox();
  void begin_drain();
  void let_go_idle();
  void let_go(Connection& connection);
  void expire_deadlines();
  void close_idle(Connection& connection);
  void cut_slow_request(Connection& connection);
  void cut_slow_reader(Connection& connection);
  std::string tell(const Connection& connection, std::string_view cause,
                   std::int64_t limit_ns) const;
  [[nodiscard]] int timeout_until_deadline(int longest_ms) const;
  void make_room_for_one();

  LoopOptions options_;
  std::vector<Listener> listeners_;
  const heartbeat::Page& page_;
  const base::Log& log_;
  net::Poller poller_;
  net::Wakeup wakeup_;

  // events that were fetched but not handled: here, not on a stack, so that a thief goes on with
  // them
  std::array<epoll_event, 256> events_;
  std::size_t event_at_ = 0;
  std::size_t event_count_ = 0;
  std::deque<Connection*> ready_;
  std::vector<Connection*> held_;  // their last answers wait in the kernel for those of this batch
  std::int64_t held_since_ns_ = 0;
  std::int64_t now_ns_;

  std::vector<std::unique_ptr<Connection>> by_fd_;
  Allowance allowance_{kLentBytesMax};
  std::vector<std::unique_ptr<Exchange>> spare_;  // those in use belong to their connection
  std::uint32_t open_ = 0;
  net::DeadlineQueue header_deadlines_;
  net::DeadlineQueue body_deadlines_;
  net::DeadlineQueue idle_deadlines_;
  net::DeadlineQueue write_deadlines_;
  net::DeadlineQueue linger_deadlines_;
  net::DeadlineQueue parting_deadlines_;
  std::vector<PyObject*> garbage_;
  bool draining_ = false;
  bool left_listeners_ = false;
  std::int64_t let_go_again_ns_ = 0;  // 0: no need
  bool accepting_ = false;
  heartbeat::Doors doors_ = heartbeat::Doors::Open;
  std::vector<std::uint64_t> deferred_;  // tokens of idle connections with something to read
  bool accept_paused_ = false;           // the system refused a descriptor: try again after a while
  std::int64_t accept_again_ns_ = 0;
  std::int64_t refusal_told_ns_ = 0;  // 0: never

  struct Mailbox {  // the only part of the loop other threads write to
    std::mutex mutex;
    std::vector<Exchange*> answered;
    std::vector<Exchange*> unbegun;
    std::vector<Adopted> adopted;
    std::vector<int> released;
  };
  Mailbox mailbox_;
  std::atomic<bool> look_asked_{false};
  std::atomic<std::uint32_t> offers_asked_{0};
  std::atomic<bool> doors_asked_{false};
  std::atomic<heartbeat::Doors> doors_wanted_{heartbeat::Doors::Open};
};

}  // namespace tricorn::worker
