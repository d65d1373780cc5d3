// How connections come into a loop and leave it for another worker's.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "net/written.h"
#include "worker/loop.h"
#include "worker/loop_tokens.h"

namespace tricorn::worker {
namespace {

using heartbeat::Doors;
using heartbeat::Hold;

// Connections taken from one listener per event: one when there are other workers.
constexpr int kAcceptsPerEvent = 32;
// Pause after the system refused a descriptor (EMFILE, ENFILE, ENOMEM).
constexpr std::int64_t kAcceptPauseNs = 100'000'000;
// Between two lines about that.
constexpr std::int64_t kRefusalPauseNs = 10'000'000'000;
// Between two tries to give connections away of which the arbiter takes no more for now.
constexpr std::int64_t kLetGoPauseNs = 2'000'000;
constexpr std::uint32_t kConnectionEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

heartbeat::Client client_of(const sockaddr_storage& address) {
  heartbeat::Client client;
  client.family = address.ss_family;
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    std::memcpy(client.address, &in.sin_addr, sizeof in.sin_addr);
    client.port = ntohs(in.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(client.address, &in6.sin6_addr, sizeof in6.sin6_addr);
    client.port = ntohs(in6.sin6_port);
  }
  return client;
}

}  // namespace

// ---- accepting
// -------------------------------------------------------------------------------------

void Loop::set_accepting(bool accepting) {
  const bool leaving = draining_ || drain_asked();
  if (accepting == accepting_ || (accepting && leaving)) return;
  accepting_ = accepting;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    // EXCLUSIVE: one of the idle workers wakes, not all. Source: epoll_ctl(2).
    if (accepting) {
      poller_.add(listeners_[i].fd, EPOLLIN | EPOLLEXCLUSIVE, kOwnToken | i);
    } else {
      poller_.remove(listeners_[i].fd);
    }
  }
  // There may be others: workers, a successor, another server during an upgrade.
  if (!accepting && !drains_with(heartbeat::Drain::kLastAtDoor)) note_backlog();
}

// A new connection wakes one idle worker. If that was this one and it does not accept it, nobody
// else learns of it: the others must be told. Source: epoll_ctl(2) EPOLLEXCLUSIVE.
void Loop::note_backlog() const {
  for (const Listener& listener : listeners_) {
    pollfd waiting{listener.fd, POLLIN, 0};
    if (::poll(&waiting, 1, 0) > 0) return options_.leave_backlog();
  }
}

void Loop::set_doors(Doors doors) {
  doors_asked_.store(false, std::memory_order_relaxed);  // this is later
  // A worker that is about to leave, or to be killed, passes on what it has not read.
  if (drain_asked()) follow_drain();
  set_accepting(doors == Doors::Open);
  if (doors == doors_) return;
  doors_ = doors;
  page_.header().doors.store(doors, std::memory_order_relaxed);
  see_to_waiting();
}

// Nobody here is free to serve it: another worker may be. @return whether it went there
bool Loop::offer(Connection& connection, std::string_view read) {
  if (!may_pass_on(connection) || drains_with(heartbeat::Drain::kAlone)) return false;
  if (!options_.offer(connection.fd, read)) return false;
  hand_on(connection);
  return true;
}

// Takes along what was read. The answer before it must not wait for one that we will not give.
bool Loop::offer_whole(Connection& connection) {
  const std::string_view read = connection.exchange->as_read();
  // A worker that leaves serves what it has read, if it can: others leave as well.
  if (read.empty() || (drain_asked() && doors_ != Doors::Stuck)) return false;
  uncork(connection);
  return offer(connection, read);
}

void Loop::offer_queued() {
  std::deque<Connection*> queued;
  queued.swap(ready_);
  for (Connection* connection : queued) {
    if (connection->state != State::Ready) continue;
    if (doors_ == Doors::Stuck) connection->came_back = false;  // others take what they did not
    queue(*connection);
  }
}

void Loop::see_to_deferred() {
  std::vector<std::uint64_t> waiting;
  waiting.swap(deferred_);
  for (const std::uint64_t token : waiting) {
    Connection& connection = *by_fd_[static_cast<std::uint32_t>(token)];
    if (connection.state != State::Idle || token != token_of(connection)) continue;
    if (doors_ == Doors::Stuck) connection.came_back = false;
    if (doors_ != Doors::Open) {
      put_off(connection);
    } else if (on_readable(connection) != nullptr) {
      queue(connection);
    }
  }
}

// The thread that has it waits for the GIL in vain.
void Loop::on_unbegun(Connection& connection) {
  if (offer_whole(connection)) return;
  connection.came_back = true;  // once is enough
  queue(connection);
}

void Loop::put_off(Connection& connection) {
  if (offer(connection, {})) return;
  connection.deadline.disarm();  // it is us who keep the client waiting
  deferred_.push_back(token_of(connection));
  note_waiting();
}

// Others were busy, or booting, when these came back.
void Loop::offer_returned(std::uint32_t most) {
  const auto again = [&most](Connection& connection) {
    if (most == 0 || !connection.came_back) return;
    connection.came_back = false;
    --most;
  };
  if (doors_ == Doors::Open) return;  // they are served here
  for (Connection* connection : ready_) again(*connection);
  for (const std::uint64_t token : deferred_) again(*by_fd_[static_cast<std::uint32_t>(token)]);
  see_to_waiting();
}

// Whoever can, is served here or goes elsewhere.
void Loop::see_to_waiting() {
  if (doors_ != Doors::Open) offer_queued();
  see_to_deferred();
  note_waiting();
}

void Loop::note_waiting() const {
  const std::size_t waiting = doors_ == Doors::Open ? 0 : deferred_.size() + ready_.size();
  page_.header().waiting.store(static_cast<std::uint32_t>(waiting), std::memory_order_relaxed);
}

// Its descriptor is on its way to another worker.
void Loop::hand_on(Connection& connection) {
  const int fd = connection.fd;
  set_hold(connection, Hold::None);
  forget(connection);
  poller_.remove(fd);
  ::close(fd);
}

// @return false with errno
bool Loop::accept_one(std::uint32_t index) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  page_.header().accepting.store(1, std::memory_order_relaxed);
  const int fd = ::accept4(listeners_[index].fd, reinterpret_cast<sockaddr*>(&address), &length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  const int refused = errno;
  if (fd >= 0) open_connection(fd, static_cast<std::uint8_t>(index), client_of(address));
  page_.header().accepting.store(0, std::memory_order_relaxed);
  errno = refused;
  return fd >= 0;
}

void Loop::accept_from(std::uint32_t index) {
  const int most = options_.shared_listeners ? 1 : kAcceptsPerEvent;
  for (int taken = 0; taken < most && accepting_; ++taken) {
    if (drain_asked()) return set_accepting(false);
    if (accept_one(index)) {
      if (options_.shared_listeners && accepting_) go_to_the_back(index);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) {  // EMFILE and the like: spare the others
      tell_of_refusal(std::string("accept on ") + listeners_[index].name + ": " +
                      std::strerror(errno));
      set_accepting(false);
      accept_paused_ = true;
      accept_again_ns_ = now_ns_ + kAcceptPauseNs;
    }
    return;
  }
}

// Once in a while: it is tried again ten times a second.
void Loop::tell_of_refusal(const std::string& what) {
  const bool descriptors = errno == EMFILE || errno == ENFILE;
  if (now_ns_ < refusal_told_ns_ + kRefusalPauseNs && refusal_told_ns_ != 0) return;
  refusal_told_ns_ = now_ns_;
  Notice notice;
  notice.cause = "fd.exhaustion";
  notice.error = what;
  if (descriptors && options_.tell && !options_.tell(notice).empty()) return;
  log_.error(what);
}

// The kernel wakes the first idle worker in a listener's queue, so without this the same one gets
// almost every connection. Source: epoll_ctl(2) EPOLLEXCLUSIVE; fs/eventpoll.c.
void Loop::go_to_the_back(std::uint32_t index) {
  poller_.remove(listeners_[index].fd);
  poller_.add(listeners_[index].fd, EPOLLIN | EPOLLEXCLUSIVE, kOwnToken | index);
}

// A full house closes the connection that has idled longest rather than refuse a new client.
void Loop::make_room_for_one() {
  while (open_ >= options_.connections_max) {
    net::Deadline* oldest = idle_deadlines_.first();
    if (oldest == nullptr) return;
    close_idle(*reinterpret_cast<Connection*>(oldest));
  }
}

Connection* Loop::open_connection(int fd, std::uint8_t listener, const heartbeat::Client& client,
                                  Hold hold) {
  make_room_for_one();
  if (by_fd_.size() <= static_cast<std::size_t>(fd))
    by_fd_.resize(static_cast<std::size_t>(fd) + 64);
  auto& place = by_fd_[static_cast<std::size_t>(fd)];
  if (!place) place = std::make_unique<Connection>();
  Connection& connection = *place;
  connection.fd = fd;
  connection.generation = (connection.generation + 1) & 0x7FFF'FFFF;
  connection.state = State::Idle;
  connection.readable = connection.hung_up = connection.came_back = false;
  connection.listener = listener;
  connection.served = 0;
  connection.written = 0;
  connection.client = client;
  connection.hold = &page_.hold(fd);
  connection.trusted = options_.forwarded_from.contains(client);
  connection.proxy_due = options_.proxy.mode != http::ProxyMode::Off;
  ++open_;
  page_.header().connections.store(open_, std::memory_order_relaxed);
  set_hold(connection, hold);
  header_deadlines_.arm(connection.deadline, now_ns_);
  const bool watched = poller_.add(fd, kConnectionEvents, token_of(connection));
  if (!watched) close(connection);
  if (open_ >= options_.connections_max && idle_deadlines_.first() == nullptr) set_accepting(false);
  return watched ? &connection : nullptr;
}

void Loop::watch_again(const Connection& connection) {
  poller_.tell_again(connection.fd, kConnectionEvents, token_of(connection));
}

// ---- leaving, and coming from elsewhere

// Its next request may be on its way: another worker reads it. Without one, a connection that never
// had an answer waits for its first, and one that had is closed, as keep-alive allows.
void Loop::let_go(Connection& connection) {
  if (drains_with(heartbeat::Drain::kAlone)) return part_with(connection);
  // Another worker would not know whom a PROXY header has named.
  if (connection.proxied == nullptr) {
    if (options_.give_away(connection.fd, {})) return hand_on(connection);
    // The arbiter still has those before to read.
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
      let_go_again_ns_ = now_ns_ + kLetGoPauseNs;
      return;
    }
  }
  if (connection.served > 0 && !connection.readable) close(connection);
}

// The server stops. Bytes that are there have an event on its way, or wait for a free thread.
void Loop::part_with(Connection& connection) {
  char byte;
  if (::recv(connection.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) return;
  if (connection.served > 0) return close(connection);
  parting_deadlines_.arm(connection.deadline, now_ns_);
}

// Its own address tells which listener it came through.
void Loop::open_adopted(Adopted adopted) {
  const int fd = adopted.fd.get();
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const bool alive = ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (!alive || (draining_ && !drains_with(heartbeat::Drain::kAlone))) {
    if (alive) static_cast<void>(options_.give_away(fd, adopted.read));
    heartbeat::note_hold(page_.hold(fd), Hold::None);
    note_adopted();
    return;
  }
  const net::Endpoint local = net::local_endpoint(fd);
  std::uint8_t through = 0;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    const net::Endpoint& endpoint = listeners_[i].endpoint;
    if (endpoint.family == local.family && endpoint.port == local.port)
      through = static_cast<std::uint8_t>(i);
  }
  const Hold hold = adopted.read.empty() ? Hold::Idle : Hold::Queued;
  Connection* connection = open_connection(adopted.fd.release(), through, client_of(address), hold);
  note_adopted();
  if (connection == nullptr) return;
  connection->came_back = adopted.came_back;
  connection->written = net::bytes_written(fd).value_or(0);
  if (!adopted.read.empty()) return resume(*connection, adopted.read);
  if (draining_) part_with(*connection);
}

// Goes on where another worker has stopped.
void Loop::resume(Connection& connection, std::string_view read) {
  Exchange& exchange = exchange_for(connection);
  exchange.begin_with(read);
  connection.state = State::Reading;
  const Intake intake = exchange.parse();
  if (intake == Intake::Ready) return queue(connection);
  after_intake(connection, intake);
}

void Loop::follow_drain() {
  if (!draining_) begin_drain();
  if (!left_listeners_ && drains_with(heartbeat::Drain::kLastAtDoor)) leave_listeners();
}

// Whoever the kernel has let in is served; whoever comes later is refused and knows it at once.
void Loop::leave_listeners() {
  left_listeners_ = true;
  for (std::uint32_t i = 0; i < listeners_.size(); ++i) {
    while (open_ < options_.connections_max && (accept_one(i) || errno == EINTR)) {
    }
    ::close(std::exchange(listeners_[i].fd, -1));
  }
  let_go_idle();
}

void Loop::let_go_idle() {
  let_go_again_ns_ = 0;
  for (const auto& connection : by_fd_) {
    if (let_go_again_ns_ != 0) return;
    if (connection && connection->state == State::Idle) let_go(*connection);
  }
}

void Loop::begin_drain() {
  send_held();  // before their connections go elsewhere
  set_accepting(false);
  accept_paused_ = false;
  draining_ = true;
  let_go_idle();
}

}  // namespace tricorn::worker
