#include "worker/loop.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "http/h1/writer.h"
#include "worker/loop_tokens.h"

namespace tricorn::worker {
namespace {

using heartbeat::Doors;
using heartbeat::Hold;

// How long a client may take to close after our last byte. Source: RFC 9112 section 9.6.
constexpr std::int64_t kLingerNs = 2'000'000'000;
// How long a client that has just connected may take to send something when the server stops.
constexpr std::int64_t kPartingNs = 500'000'000;
// Exchanges kept for the next request; 16 KiB and a parser each.
constexpr std::size_t kSpareExchanges = 64;
// How long an answer may wait for others to leave with it.
constexpr std::int64_t kHoldNs = 1'000'000;
// Reads of one lingering connection per event.
constexpr int kLingerReads = 16;

// What is written leaves without a wait, and so does what waits already. A unix socket does so
// anyway, and refuses the option. Source: tcp(7) TCP_NODELAY.
void send_at_once(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Bytes that nobody has read.
bool has_bytes(int fd) {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace

Loop::Loop(LoopOptions options, std::vector<Listener> listeners, const heartbeat::Page& page,
           const base::Log& log)
    : options_(options),
      listeners_(std::move(listeners)),
      page_(page),
      log_(log),
      now_ns_(base::monotonic_ns()),
      header_deadlines_(options.header_timeout_ns),
      body_deadlines_(std::int64_t{options.client.body_ms} * 1'000'000),
      idle_deadlines_(options.keepalive_ns),
      write_deadlines_(std::int64_t{options.client.write_ms} * 1'000'000),
      linger_deadlines_(kLingerNs),
      parting_deadlines_(kPartingNs) {
  poller_.add(wakeup_.fd(), EPOLLIN, kWakeToken);
  for (const Listener& listener : listeners_) send_at_once(listener.fd);  // inherited by accept(2)
  set_accepting(true);
}

Loop::~Loop() = default;

// ---- events
// ----------------------------------------------------------------------------------------

int Loop::timeout_until_deadline(int longest_ms) const {
  std::int64_t next = accept_paused_ ? accept_again_ns_ : INT64_MAX;
  if (let_go_again_ns_ != 0) next = std::min(next, let_go_again_ns_);
  for (const auto* queue : {&header_deadlines_, &body_deadlines_, &idle_deadlines_,
                            &write_deadlines_, &linger_deadlines_, &parting_deadlines_}) {
    if (const auto* first = queue->first(); first != nullptr) next = std::min(next, first->at_ns);
  }
  if (next == INT64_MAX) return longest_ms;
  const std::int64_t ms = std::max<std::int64_t>((next - now_ns_ + 999'999) / 1'000'000, 0);
  return static_cast<int>(longest_ms < 0 ? ms : std::min<std::int64_t>(ms, longest_ms));
}

void Loop::wait(int longest_ms) {
  TRICORN_CHECK(event_at_ == event_count_);
  event_at_ = 0;
  event_count_ =
      static_cast<std::size_t>(poller_.wait(events_, timeout_until_deadline(longest_ms)));
  now_ns_ = base::monotonic_ns();
  expire_deadlines();
}

Exchange* Loop::next_ready() {
  if (!held_.empty() && now_ns_ - held_since_ns_ >= kHoldNs) send_held();
  while (event_at_ < event_count_) {
    if (Exchange* exchange = on_event(events_[event_at_++]); exchange != nullptr) return exchange;
  }
  while (!ready_.empty() && doors_ == Doors::Open) {
    Connection& connection = *ready_.front();
    ready_.pop_front();
    if (connection.state == State::Ready) return make_running(connection);
  }
  send_held();
  return nullptr;
}

void Loop::turn() {
  while (event_at_ < event_count_) {
    if (Exchange* exchange = on_event(events_[event_at_++]); exchange != nullptr)
      queue(exchange->connection());
  }
}

Exchange* Loop::on_event(const epoll_event& event) {
  const std::uint64_t token = event.data.u64;
  if (token == kWakeToken) {
    read_mailbox();
    return nullptr;
  }
  const auto low = static_cast<std::uint32_t>(token);
  if ((token & kOwnToken) == kOwnToken) {
    accept_from(low);
    return nullptr;
  }
  Connection& connection = *by_fd_[low];
  if (connection.state == State::Closed || token != token_of(connection))
    return nullptr;  // closed in this batch
  if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) connection.hung_up = true;
  if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    connection.readable = true;
  switch (connection.state) {
    case State::Idle:
      // The arbiter may have answered a client before its order to drain is read.
      if (drain_asked()) follow_drain();
      if (connection.state == State::Closed) return nullptr;
      if (doors_ != Doors::Open) {
        if (connection.readable) put_off(connection);
        return nullptr;
      }
      [[fallthrough]];
    case State::Reading:
      return connection.readable ? on_readable(connection) : nullptr;
    case State::Flushing:
      on_writable(connection);
      return nullptr;
    case State::Lingering:
      on_lingering(connection);
      return nullptr;
    case State::Ready:
    case State::Running:
    case State::Closed:
      return nullptr;  // `readable` remembers it
  }
  return nullptr;
}

Exchange* Loop::on_readable(Connection& connection) {
  Exchange& exchange = exchange_for(connection);
  set_hold(connection, Hold::Reading);  // before the read: what is read is gone from the kernel
  Intake intake = exchange.receive();
  while (intake == Intake::More && connection.readable) intake = exchange.receive();
  return after_intake(connection, intake);
}

Exchange* Loop::after_intake(Connection& connection, Intake intake) {
  Exchange& exchange = *connection.exchange;
  switch (intake) {
    case Intake::Ready:
      return make_running(connection);
    case Intake::Nothing:
      connection.readable = false;
      if (exchange.has_input()) return nullptr;
      release_exchange(connection);
      set_hold(connection, Hold::Idle);
      return nullptr;
    case Intake::More:
      if (connection.state == State::Idle) {
        connection.state = State::Reading;
        header_deadlines_.arm(connection.deadline, now_ns_);
      }
      if (exchange.head_done()) {
        // Source: RFC 9110 section 10.1.1; once, since the head is done once.
        if (exchange.take_continue()) exchange.append_own(http::h1::kContinue);
        if (exchange.flush() == Exchange::Flush::Failed) {
          close(connection);
          return nullptr;
        }
        body_deadlines_.arm(connection.deadline, now_ns_);
      }
      return nullptr;
    case Intake::Refused:
      refuse(connection);
      return nullptr;
    case Intake::Closed:
      close(connection);
      return nullptr;
  }
  return nullptr;
}

Exchange* Loop::make_running(Connection& connection) {
  connection.state = State::Running;
  connection.deadline.disarm();
  return connection.exchange;
}

// Without the page's words around the reason: "Invalid Method 'Invalid HTTP method: 'get''".
static std::string_view reason_of(std::string_view message) {
  for (const std::string_view around : {"Invalid Request Line '", "Invalid Method '",
                                        "Invalid HTTP Version '", "Error parsing headers: '"}) {
    if (message.starts_with(around) && message.ends_with('\''))
      return message.substr(around.size(), message.size() - around.size() - 1);
  }
  return message;
}

// A request we cannot read: say why, then close. Nothing after it on this connection is acted on.
// Source: RFC 9112 section 2.2.
void Loop::refuse(Connection& connection) {
  const http::Refusal& refusal = connection.exchange->refusal();
  log_.warning(fmt::format("Invalid request from ip={}: {}", heartbeat::text_of(connection.client),
                           reason_of(refusal.message)));
  answer_and_close(connection, http::h1::error_page(refusal.status, refusal.message, {}));
}

void Loop::answer_and_close(Connection& connection, std::string_view answer) {
  Exchange& exchange = exchange_for(connection);
  exchange.close_after = true;
  heartbeat::note_answer_begin(page_.answer_marks(connection.fd), connection.written);
  connection.readable = true;  // there may be more: linger, so that the client reads the answer
  exchange.append_own(answer);
  connection.state = State::Flushing;
  set_hold(connection, Hold::Writing);
  on_writable(connection);
}

void Loop::on_writable(Connection& connection) {
  Exchange& exchange = *connection.exchange;
  const Exchange::Flush flushed = exchange.flush();
  exchange.take_garbage(garbage_);
  if (flushed == Exchange::Flush::Failed) {
    close(connection);
  } else if (flushed == Exchange::Flush::Done) {
    after_response(connection);
  } else {
    write_deadlines_.arm(connection.deadline, now_ns_);
  }
}

// ---- the end of a response
// -------------------------------------------------------------------------

void Loop::finish(Exchange& exchange) {
  Connection& connection = exchange.connection();
  if (exchange.abandoned) {
    forget(connection);
    part(connection, Parting::Loop);
    return;
  }
  if (exchange.failed) {
    close(connection);
    return;
  }
  connection.state = State::Flushing;
  if (exchange.has_unsent()) {
    on_writable(connection);
  } else {
    exchange.take_garbage(garbage_);
    after_response(connection);
  }
}

void Loop::after_response(Connection& connection) {
  Exchange& exchange = *connection.exchange;
  ++connection.served;
  connection.came_back = false;
  if (exchange.close_after) {
    if (exchange.body_taken() && !connection.readable) {
      close(connection);
    } else {
      linger(connection);
    }
    return;
  }
  exchange.next_request();
  if (!exchange.has_input() && !connection.readable) {
    hold(connection);
    go_idle(connection);
    return;
  }
  connection.state = State::Reading;
  set_hold(connection, Hold::Reading);
  header_deadlines_.arm(connection.deadline, now_ns_);
  Intake intake = exchange.parse();
  while (intake == Intake::More && connection.readable) intake = exchange.receive();
  if (intake != Intake::Ready) hold(connection);
  if (intake == Intake::Nothing && !exchange.has_input()) {
    go_idle(connection);
  } else if (intake == Intake::Ready) {
    queue(connection);
  } else {
    after_intake(connection, intake);
  }
}

// Its turn comes after those whose bytes came before.
void Loop::queue(Connection& connection) {
  if (doors_ != Doors::Open && offer_whole(connection)) return;
  connection.state = State::Ready;
  connection.deadline.disarm();
  set_hold(connection, Hold::Queued);
  ready_.push_back(&connection);
  if (doors_ != Doors::Open) note_waiting();
}

void Loop::uncork(Connection& connection) {
  if (std::exchange(connection.corked, false)) send_at_once(connection.fd);
}

// No request of its own is here to take its answer along: those of other clients may.
// Source: docs/decisions/0007
void Loop::hold(Connection& connection) {
  if (!connection.may_wait) return uncork(connection);
  if (!connection.corked) return;
  if (held_.empty()) held_since_ns_ = now_ns_;
  held_.push_back(&connection);
}

void Loop::send_held() {
  for (Connection* connection : held_) uncork(*connection);
  held_.clear();
}

void Loop::uncork_all(int running_fd) {
  send_held();
  for (Connection* connection : ready_) uncork(*connection);
  // Its Connection is the running thread's; the descriptor stays open until that one posts it.
  if (running_fd >= 0) send_at_once(running_fd);
}

void Loop::go_idle(Connection& connection) {
  connection.state = State::Idle;
  set_hold(connection, Hold::Idle);
  release_exchange(connection);
  idle_deadlines_.arm(connection.deadline, now_ns_);
  if (draining_) let_go(connection);
}

void Loop::linger(Connection& connection) {
  ::shutdown(connection.fd, SHUT_WR);
  connection.state = State::Lingering;
  release_exchange(connection);
  linger_deadlines_.arm(connection.deadline, now_ns_);
  on_lingering(connection);
}

void Loop::on_lingering(Connection& connection) {
  char scrap[8192];
  for (int reads = 0; reads < kLingerReads; ++reads) {
    const ssize_t got = ::recv(connection.fd, scrap, sizeof scrap, MSG_DONTWAIT);
    if (got > 0) continue;
    const bool may_go_on = got < 0 && (errno == EAGAIN || errno == EINTR);
    if (!may_go_on) close(connection);  // the client has closed
    return;
  }
  watch_again(connection);  // it sends on, until its time is up: the others have their turn between
}

void Loop::close(Connection& connection) {
  const int fd = connection.fd;
  set_hold(connection, Hold::None);
  forget(connection);
  ::shutdown(fd, SHUT_RDWR);  // a child the application forked may hold a copy
  ::close(fd);                // also takes it out of epoll: the keeper's table is this one
}

// The keeper has answered on it and shut it down; nothing here knows of it any more.
void Loop::part(Connection& connection, Parting who) {
  const bool second = connection.parting != Parting::None && connection.parting != who;
  connection.parting = second ? Parting::None : who;
  if (!second) return;
  set_hold(connection, Hold::None);
  ::close(connection.fd);
}

void Loop::on_released(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= by_fd_.size() || by_fd_[index] == nullptr) return;
  Connection& connection = *by_fd_[index];
  if (connection.state == State::Running || connection.parting == Parting::Loop)
    part(connection, Parting::Keeper);
}

// Everything but the descriptor and its Hold goes: the arbiter reads that when this worker is dead.
void Loop::forget(Connection& connection) {
  if (connection.exchange != nullptr) {
    connection.exchange->drop_unsent();
    release_exchange(connection);
  }
  for (PyObject** owned : {&connection.remote_addr, &connection.remote_port}) {
    if (*owned != nullptr) garbage_.push_back(std::exchange(*owned, nullptr));
  }
  connection.deadline.disarm();
  connection.proxied.reset();
  connection.corked = false;
  connection.state = State::Closed;
  --open_;
  page_.header().connections.store(open_, std::memory_order_relaxed);
  if (!accepting_ && !accept_paused_ && !draining_ && open_ + 1 == options_.connections_max)
    set_accepting(true);
}

// ---- exchanges
// -------------------------------------------------------------------------------------

Exchange& Loop::exchange_for(Connection& connection) {
  if (connection.exchange == nullptr) {
    if (spare_.empty())
      spare_.push_back(std::make_unique<Exchange>(options_.limits, options_.client, options_.proxy,
                                                  page_.header().drain_asked, allowance_));
    connection.exchange = spare_.back().release();
    spare_.pop_back();
    connection.exchange->attach(connection);
  }
  return *connection.exchange;
}

void Loop::release_exchange(Connection& connection) {
  if (connection.exchange == nullptr) return;
  std::unique_ptr<Exchange> exchange(std::exchange(connection.exchange, nullptr));
  exchange->take_garbage(garbage_);
  if (spare_.size() < kSpareExchanges) spare_.push_back(std::move(exchange));
}

void Loop::set_hold(const Connection& connection, Hold hold) {
  if (hold == Hold::Idle && connection.proxied != nullptr) hold = Hold::None;  // as in let_go()
  heartbeat::note_hold(*connection.hold, hold);
}

// ---- mailbox
// ---------------------------------------------------------------------------------------

void Loop::post(Exchange& exchange) {
  {
    const std::lock_guard lock(mailbox_.mutex);
    mailbox_.answered.push_back(&exchange);
  }
  wakeup_.raise();
}

void Loop::return_unbegun(Exchange& exchange) {
  {
    const std::lock_guard lock(mailbox_.mutex);
    mailbox_.unbegun.push_back(&exchange);
  }
  wakeup_.raise();
}

void Loop::adopt(base::UniqueFd connection, bool came_back, std::string read) {
  // Known to the page at once: if this worker dies now, the keeper hands it on. With what was read
  // of it only the arbiter can, who keeps a copy of both until it is open.
  if (read.empty()) heartbeat::note_hold(page_.hold(connection.get()), Hold::Idle);
  {
    const std::lock_guard lock(mailbox_.mutex);
    mailbox_.adopted.push_back({std::move(connection), came_back, std::move(read)});
  }
  wakeup_.raise();
}

void Loop::release(int connection_fd) {
  {
    const std::lock_guard lock(mailbox_.mutex);
    mailbox_.released.push_back(connection_fd);
  }
  wakeup_.raise();
}

void Loop::ask_to_drain(std::uint32_t how) {
  page_.header().drain_asked.fetch_or(how, std::memory_order_relaxed);
  wakeup_.raise();
}

void Loop::look_again() {
  look_asked_.store(true, std::memory_order_relaxed);
  wakeup_.raise();
}

void Loop::offer_again(std::uint32_t most) {
  offers_asked_.store(most, std::memory_order_relaxed);
  wakeup_.raise();
}

void Loop::ask_doors(Doors doors) {
  doors_wanted_.store(doors, std::memory_order_relaxed);
  doors_asked_.store(true, std::memory_order_release);
  wakeup_.raise();
}

void Loop::read_mailbox() {
  wakeup_.clear();
  std::vector<Exchange*> answered;
  std::vector<Exchange*> unbegun;
  std::vector<Adopted> adopted;
  std::vector<int> released;
  {
    const std::lock_guard lock(mailbox_.mutex);
    answered.swap(mailbox_.answered);
    unbegun.swap(mailbox_.unbegun);
    adopted.swap(mailbox_.adopted);
    released.swap(mailbox_.released);
  }
  for (Exchange* exchange : answered) finish(*exchange);
  for (Exchange* exchange : unbegun) on_unbegun(exchange->connection());
  for (const int fd : released) on_released(fd);
  for (Adopted& connection : adopted) open_adopted(std::move(connection));
  if (drain_asked()) follow_drain();
  if (doors_asked_.exchange(false, std::memory_order_acquire))
    set_doors(doors_wanted_.load(std::memory_order_relaxed));
  if (const std::uint32_t most = offers_asked_.exchange(0, std::memory_order_relaxed); most != 0)
    offer_returned(most);
  if (look_asked_.exchange(false, std::memory_order_relaxed) && accepting_) {
    // Adding a listener to epoll looks at it.
    for (std::uint32_t i = 0; i < listeners_.size(); ++i) go_to_the_back(i);
  }
}

// ---- deadlines
// -------------------------------------------------------------------------------------

void Loop::expire_deadlines() {
  if (accept_paused_ && now_ns_ >= accept_again_ns_) {
    accept_paused_ = false;
    set_accepting(true);
  }
  if (let_go_again_ns_ != 0 && now_ns_ >= let_go_again_ns_) let_go_idle();
  expire(idle_deadlines_, [this](Connection& connection) { close_idle(connection); });
  expire(linger_deadlines_, [this](Connection& connection) { close(connection); });
  expire(write_deadlines_, [this](Connection& connection) { cut_slow_reader(connection); });
  const auto too_slow = [this](Connection& connection) { cut_slow_request(connection); };
  expire(header_deadlines_, too_slow);
  expire(body_deadlines_, too_slow);
  expire(parting_deadlines_, too_slow);
}

// Its time is up, but the client may have kept to it and we may not: after a pause of the whole
// process (a stopped container, a frozen machine) its bytes lie in the socket, and their event in
// this batch.
void Loop::close_idle(Connection& connection) {
  if (has_bytes(connection.fd)) return connection.deadline.disarm();
  close(connection);
}

// A client that sent nothing gets nothing; one that began a request hears why it ends.
// Source: RFC 9110 section 15.5.9.
void Loop::cut_slow_request(Connection& connection) {
  if (connection.state == State::Idle) return close_idle(connection);
  const bool body = connection.exchange->head_done();
  const std::string reference =
      tell(connection, body ? "client.slow_upload" : "client.slow_headers",
           body ? std::int64_t{options_.client.body_ms} * 1'000'000 : options_.header_timeout_ns);
  answer_and_close(connection, http::h1::error_page(408, {}, reference));
}

void Loop::cut_slow_reader(Connection& connection) {
  if (connection.state == State::Flushing)
    tell(connection, "client.slow_read", std::int64_t{options_.client.write_ms} * 1'000'000);
  close(connection);
}

std::string Loop::tell(const Connection& connection, std::string_view cause,
                       std::int64_t limit_ns) const {
  if (!options_.tell || connection.exchange == nullptr) return {};
  Notice notice;
  notice.cause = cause;
  notice.request = connection.exchange->request_so_far();
  notice.client = connection.client;
  notice.bytes_in = connection.exchange->bytes_so_far();
  notice.bytes_out = connection.written;
  notice.ran_ns = limit_ns;
  return options_.tell(notice);
}

template <class Action>
void Loop::expire(net::DeadlineQueue& queue, Action action) {
  while (net::Deadline* first = queue.first()) {
    if (first->at_ns > now_ns_) return;
    action(*reinterpret_cast<Connection*>(first));
  }
}

}  // namespace tricorn::worker
