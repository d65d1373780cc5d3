// Workers from fork to leaving.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <tuple>
#include <utility>

#include "arbiter/arbiter.h"
#include "arbiter/tokens.h"
#include "base/clock.h"
#include "net/address.h"

namespace tricorn::arbiter {
namespace {

// Descriptors whose state a page keeps; connections beyond are served, but not handed over after a
// SIGKILL.
constexpr std::uint32_t kHolds = 65536;
// Status of a fork that pre_fork ended by raising: Gunicorn's sys.exit(-1).
constexpr int kUnhandled = 255;
// Connections that may wait for a ready worker.
constexpr std::size_t kOrphansMax = 4096;
// What a worker's channel holds of them is read within this.
constexpr std::int64_t kOrphanPauseNs = 5'000'000;

ino_t inode_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

void Arbiter::hook(const char* name, const HookArguments& arguments) {
  if (!spawner_) return;
  spawner_->hook(name, arguments, [this, hook_name = std::string(name)](const Answer& answer) {
    if (!answer.ok) log_.error(fmt::format("Hook {}: {}", hook_name, answer.text));
  });
}

WorkerProcess* Arbiter::worker_by_pid(pid_t pid) {
  const auto found = workers_.find(pid);
  return found == workers_.end() ? nullptr : found->second.get();
}

void Arbiter::manage_workers() {
  if (state_ != State::Running || !spawner_ || !spawner_settled_) return;
  const std::int64_t now = base::monotonic_ns();
  if (now < fork_not_before_ns_) return wake_at(fork_not_before_ns_);
  std::vector<WorkerProcess*> current;
  for (const auto& [pid, worker] : workers_) {
    if (worker->counts() && worker->generation == generation_) current.push_back(worker.get());
  }
  for (std::size_t have = current.size() + forks_pending_; have < target_workers_; ++have)
    fork_worker();
  if (current.size() <= target_workers_) return;
  std::sort(current.begin(), current.end(),
            [](const auto* a, const auto* b) { return a->age < b->age; });
  for (std::size_t i = 0; i < current.size() - target_workers_; ++i)
    drain(*current[i]);  // the oldest go first
}

void Arbiter::fork_worker() {
  const base::UniqueFd page_fd(heartbeat::create_page_fd());
  heartbeat::Page page = page_fd.valid()
                             ? heartbeat::Page::create(page_fd.get(), options_.threads, kHolds)
                             : heartbeat::Page();
  base::UniqueFd control;
  base::UniqueFd control_end;
  base::UniqueFd keeper;
  base::UniqueFd keeper_end;
  if (!page.valid() || !heartbeat::socket_pair(control, control_end) ||
      !heartbeat::socket_pair(keeper, keeper_end)) {
    log_.error(fmt::format("Cannot prepare a worker: {}", std::strerror(errno)));
    fork_not_before_ns_ = base::monotonic_ns() + 1'000'000'000;
    return;
  }
  page.header().forked_ns.store(base::monotonic_ns());
  auto worker = std::make_shared<std::unique_ptr<WorkerProcess>>(
      std::make_unique<WorkerProcess>(std::move(page), std::move(control), std::move(keeper)));
  (*worker)->age = ++next_age_;
  (*worker)->generation = generation_;
  (*worker)->slots.resize(options_.threads);
  ++forks_pending_;
  spawner_->fork(next_age_, {page_fd.get(), control_end.get(), keeper_end.get()},
                 [this, worker](const Answer& answer) { on_forked(std::move(*worker), answer); });
}

void Arbiter::on_forked(std::unique_ptr<WorkerProcess> worker, const Answer& answer) {
  --forks_pending_;
  if (!answer.ok && answer.exit_status == kUnhandled && !ever_ready_) {
    log_.error("Unhandled exception in main loop\n" + answer.text);
    exit_status_ = kUnhandled;
    return stop(false);
  }
  if (!answer.ok) {
    log_.error(fmt::format("No worker could be forked: {}", answer.text));
    fork_not_before_ns_ = base::monotonic_ns() + 1'000'000'000;
    return;
  }
  worker->pid = answer.pid;
  worker->pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, worker->pid, 0)));
  worker->inspector = std::make_unique<diagnose::Inspector>(worker->pid, worker->page);
  watch(worker->control.get(), EPOLLIN, token(Source::Control, worker->control.get()));
  watch(worker->keeper.fd(), EPOLLIN, token(Source::Keeper, worker->keeper.fd()));
  WorkerProcess& born = *workers_.emplace(worker->pid, std::move(worker)).first->second;
  if (state_ == State::Stopping) {
    drain(born);
    end_boot(born);
  }
  reap();  // it may be dead already: it was not reaped while nobody knew its pid
}

void Arbiter::on_control(WorkerProcess& worker) {
  for (;;) {
    heartbeat::Message message;
    base::UniqueFd passed;
    const auto received =
        heartbeat::receive_message(worker.control.get(), message, passed, MSG_DONTWAIT);
    if (received == heartbeat::Received::Closed) poller_.remove(worker.control.get());
    if (received != heartbeat::Received::Message) return;
    switch (message.verb) {
      case heartbeat::Verb::Hello:
        send_order(worker, heartbeat::Verb::Go);
        break;
      case heartbeat::Verb::Ready:
        on_worker_ready(worker);
        break;
      case heartbeat::Verb::Crashed: {
        const heartbeat::Header& header = worker.page.header();
        const bool by_signal = header.crash.signal.load() != 0;
        if (by_signal) worker.inspector->note_crash();
        const pid_t tid = by_signal ? header.crash.tid : header.exit_tid.load();
        worker.crash_looks.push_back(worker.inspector->full_look({tid, 0, nullptr}));
        send_order(worker, heartbeat::Verb::Go);
        break;
      }
      case heartbeat::Verb::GiveAway:
      case heartbeat::Verb::Offer:
        if (!passed.valid()) break;
        on_passed_on(worker, message.verb, {std::move(passed), {message.payload, message.bytes}});
        break;
      case heartbeat::Verb::Told:
        on_told(worker, {message.payload, message.bytes});
        break;
      case heartbeat::Verb::Backlog:
        let_others_look(&worker);
        break;
      case heartbeat::Verb::Leaving:
        on_worker_leaving(worker, std::string(message.payload, message.bytes));
        break;
      default:
        break;  // not for an arbiter
    }
  }
}

void Arbiter::on_worker_ready(WorkerProcess& worker) {
  worker.was_ready = true;
  if (!std::exchange(ever_ready_, true)) tell_ready();
  boot_failures_ = 0;
  place_orphans();
  call_for_offers();
  if (state_ == State::Stopping) drain(worker);
  replace_worn_out();
  after_reload_ready();
}

void Arbiter::on_worker_leaving(WorkerProcess& worker, const std::string& why) {
  log_.debug(fmt::format("Worker (pid:{}) leaves: {}", worker.pid, why));
  worker.leaving = true;
  worker.cut_at_ns = base::monotonic_ns() + options_.graceful_timeout_ns;
}

// Its successor serves: it need not wait for its last requests, and nobody waits for a boot.
void Arbiter::replace_worn_out() {
  WorkerProcess* oldest = nullptr;
  for (const auto& [pid, worker] : workers_) {
    const bool earlier = oldest == nullptr || worker->age < oldest->age;
    if (worker->worn_out && !worker->leaving && earlier) oldest = worker.get();
  }
  if (oldest == nullptr) return;
  log_.write({base::Level::Info, "Autorestarting worker after current request.", oldest->pid});
  drain(*oldest);
}

void Arbiter::signal_worker(const WorkerProcess& worker, int signal) {
  if (worker.pidfd.valid()) {
    ::syscall(SYS_pidfd_send_signal, worker.pidfd.get(), signal, nullptr, 0);
  } else {
    ::kill(worker.pid, signal);  // an old kernel; only we reap it, so the pid is still its own
  }
}

void Arbiter::send_order(const WorkerProcess& worker, heartbeat::Verb verb) {
  static_cast<void>(
      heartbeat::send_message(worker.control.get(), verb, 0, nullptr, 0, -1, MSG_DONTWAIT));
}

void Arbiter::drain(WorkerProcess& worker, std::uint32_t how) {
  if (worker.leaving) return;
  worker.leaving = true;
  worker.cut_at_ns = base::monotonic_ns() + options_.graceful_timeout_ns;
  worker.page.header().drain_asked.fetch_or(how);  // acts before the order arrives
  send_order(worker, heartbeat::Verb::Drain);
  signal_worker(worker, SIGTERM);
}

void Arbiter::kill_worker(WorkerProcess& worker, std::string reason, std::string ref) {
  worker.leaving = true;
  worker.kill = {std::move(reason), std::move(ref)};
  worker.kill_at_ns = 0;
  worker.killed_at_ns = base::monotonic_ns();
  wake_at(worker.killed_at_ns + kStuckAfterNs);
  signal_worker(worker, SIGKILL);
}

void Arbiter::kill_worker_after(WorkerProcess& worker, std::int64_t grace_ns, std::string reason) {
  worker.kill_at_ns = base::monotonic_ns() + grace_ns;
  worker.kill_at_reason = std::move(reason);
  wake_at(worker.kill_at_ns);
}

void Arbiter::kill_if_due(WorkerProcess& worker) {
  if (worker.kill_at_ns == 0) return;
  if (base::monotonic_ns() < worker.kill_at_ns) return wake_at(worker.kill_at_ns);
  kill_worker(worker, std::move(worker.kill_at_reason), worker.ref);
}

// ---- connections that outlive their worker
// ---------------------------------------------------------

// A worker that has a thread free, else one that will have; among these the one with the fewest
// connections.
WorkerProcess* Arbiter::best_adopter(const WorkerProcess* not_this) {
  WorkerProcess* best = nullptr;
  const auto rank = [](const WorkerProcess& worker) {
    const auto connections = worker.page.header().connections.load(std::memory_order_relaxed);
    return std::tuple{!worker.takes_more(), !worker.has_free_thread(), worker.stuck(),
                      connections + worker.on_the_way()};
  };
  for (const auto& [pid, worker] : workers_) {
    const bool serves = worker->ready() || (stopping_alone() && worker->was_ready);
    const bool leaves = stopping_alone() ? !worker->kill.reason.empty() : worker->leaving;
    if (!serves || leaves || worker.get() == not_this) continue;
    if (best == nullptr || rank(*worker) < rank(*best)) best = worker.get();
  }
  return best;
}

bool Arbiter::send_connection(WorkerProcess& to, const ClientConnection& connection,
                              bool came_back) {
  const bool sent = heartbeat::send_message(
      to.control.get(), heartbeat::Verb::Adopt, came_back ? 1 : 0, connection.read.data(),
      connection.read.size(), connection.fd.get(), MSG_DONTWAIT);
  if (!sent) return false;
  to.given.push_back(
      {base::UniqueFd(::fcntl(connection.fd.get(), F_DUPFD_CLOEXEC, 0)), connection.read});
  ++to.given_count;
  // It is its own again.
  if (to.last_passed_on == inode_of(connection.fd.get())) to.last_passed_on = 0;
  return true;
}

// The one that a new connection has woken does not take it.
void Arbiter::let_others_look(const WorkerProcess* than) {
  for (const auto& [pid, worker] : workers_) {
    if (!worker->in_service() || worker.get() == than) continue;
    send_order(*worker, heartbeat::Verb::Look);
  }
  if (than == nullptr || !other_arbiter_.valid()) return;
  static_cast<void>(heartbeat::send_message(other_arbiter_.get(), heartbeat::Verb::Look, 0, nullptr,
                                            0, -1, MSG_DONTWAIT));
}

void Arbiter::on_passed_on(WorkerProcess& worker, heartbeat::Verb how,
                           ClientConnection connection) {
  worker.last_passed_on = inode_of(connection.fd.get());
  if (how == heartbeat::Verb::GiveAway) {
    adopt(std::move(connection));
  } else {
    place_offer(worker, std::move(connection));
  }
}

// Back it goes rather than to a queue elsewhere, unless it comes from one that is stuck or leaves.
void Arbiter::place_offer(WorkerProcess& from, ClientConnection connection) {
  WorkerProcess* taker = best_adopter(&from);
  const bool better =
      taker != nullptr && (taker->has_free_thread() || (from.stuck() && !taker->stuck()));
  if (better && send_connection(*taker, connection, false)) return;
  if (!from.leaving && send_connection(from, connection, true)) return;
  adopt(std::move(connection));
}

// A request that came back waits behind a slow one: when a thread is free elsewhere, it need not.
void Arbiter::call_for_offers() {
  std::size_t free = 0;
  for (const auto& [pid, worker] : workers_) {
    if (worker->in_service()) free += worker->free_threads();
  }
  for (const auto& [pid, worker] : workers_) {
    const std::size_t waiting = worker->page.header().waiting.load(std::memory_order_relaxed);
    const std::size_t most = std::min(free, waiting);
    if (most == 0 || !worker->in_service()) continue;
    free -= most;
    static_cast<void>(heartbeat::send_message(worker->control.get(), heartbeat::Verb::OfferAgain,
                                              static_cast<std::int32_t>(most), nullptr, 0, -1,
                                              MSG_DONTWAIT));
  }
}

void Arbiter::adopt(ClientConnection connection) {
  if (orphans_.size() < kOrphansMax) orphans_.push_back(std::move(connection));
  place_orphans();
}

// Oldest first. Whoever takes none for now still has the ones before to read.
void Arbiter::place_orphans() {
  while (!orphans_.empty()) {
    const Placing came = place(orphans_.front());
    if (came == Placing::NobodyYet) return;
    if (came == Placing::Busy) return wake_at(base::monotonic_ns() + kOrphanPauseNs);
    orphans_.pop_front();
  }
}

// Without a ready worker it waits, or goes to the arbiter that stays when this one leaves.
Arbiter::Placing Arbiter::place(const ClientConnection& connection) {
  if (WorkerProcess* best = best_adopter(nullptr); best != nullptr) {
    const bool sent = best->takes_more() && send_connection(*best, connection, false);
    return sent ? Placing::Done : Placing::Busy;
  }
  if (state_ == State::Running || state_ == State::Starting) return Placing::NobodyYet;
  if (!other_arbiter_.valid()) return Placing::Done;  // nobody will ever take it
  const bool sent = heartbeat::send_message(other_arbiter_.get(), heartbeat::Verb::GiveAway, 0,
                                            connection.read.data(), connection.read.size(),
                                            connection.fd.get(), MSG_DONTWAIT);
  return sent ? Placing::Done : Placing::Busy;
}

// Connected, and by one of our listeners: its own address tells.
bool Arbiter::is_client(int fd) const {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return false;
  const net::Endpoint local = net::local_endpoint(fd);
  const auto came_by = [&local](const net::Endpoint& endpoint) {
    return endpoint.family == local.family && endpoint.port == local.port &&
           (local.family != AF_UNIX || endpoint.host == local.host);
  };
  return std::any_of(left_endpoints_.begin(), left_endpoints_.end(), came_by) ||
         std::any_of(listeners_.begin(), listeners_.end(), [&](const BoundListener& listener) {
           return came_by(net::local_endpoint(listener.fd.get()));
         });
}

// A bounded number: of the reloads that changed addresses, the last ones count.
void Arbiter::remember_clients_of(const std::vector<BoundListener>& listeners) {
  if (left_endpoints_.size() > kListenersMax) left_endpoints_.clear();
  for (const BoundListener& listener : listeners)
    left_endpoints_.push_back(net::local_endpoint(listener.fd.get()));
}

// Its page says what became of those it has noted.
void Arbiter::forget_adopted(WorkerProcess& worker) {
  while (worker.given.size() > worker.on_the_way()) worker.given.pop_front();
}

// A connection of a dead worker, for another one. It may come by more than one way.
void Arbiter::take_back(WorkerProcess& worker, ClientConnection connection) {
  if (!is_client(connection.fd.get())) return;
  const ino_t inode = inode_of(connection.fd.get());
  auto& known = worker.taken_back;
  if (inode == worker.last_passed_on || std::find(known.begin(), known.end(), inode) != known.end())
    return;
  known.push_back(inode);
  adopt(std::move(connection));
}

// The end of a dead worker's control channel: connections it was given and had not taken yet.
void Arbiter::rescue_orders(WorkerProcess& worker, const base::UniqueFd& control) {
  heartbeat::Message order;
  for (;;) {
    base::UniqueFd passed;
    if (heartbeat::receive_message(control.get(), order, passed, MSG_DONTWAIT) !=
        heartbeat::Received::Message) {
      return;
    }
    if (order.verb == heartbeat::Verb::Adopt && passed.valid())
      take_back(worker, {std::move(passed), {order.payload, order.bytes}});
  }
}

// An order that does not get through leaves the descriptor open for as long as the worker lives.
void Arbiter::release(const WorkerProcess& worker, int connection_fd) {
  static_cast<void>(heartbeat::send_message(worker.control.get(), heartbeat::Verb::Release,
                                            connection_fd, nullptr, 0, -1, MSG_DONTWAIT));
}

void Arbiter::on_keeper(int fd) {
  const auto buried = buried_.find(fd);
  WorkerProcess* worker = buried == buried_.end() ? nullptr : buried->second.get();
  if (worker == nullptr) {
    for (const auto& [pid, living] : workers_) {
      if (living->keeper.fd() == fd) worker = living.get();
    }
  }
  if (worker == nullptr) return;
  for (;;) {
    base::UniqueFd connection;
    int number = -1;
    const auto received = worker->keeper.receive(number, connection);
    if (received == heartbeat::Received::Nothing) return;
    if (received == heartbeat::Received::Closed) break;
    if (!connection.valid()) {
      if (buried == buried_.end()) release(*worker, number);
      continue;
    }
    if (number == worker->page.header().control_fd.load()) {
      rescue_orders(*worker, connection);
    } else {
      take_back(*worker, {std::move(connection), {}});
    }
  }
  forget_adopted(*worker);
  for (ClientConnection& connection : worker->given) take_back(*worker, std::move(connection));
  worker->given.clear();
  poller_.remove(fd);
  if (buried != buried_.end()) buried_.erase(buried);
}

}  // namespace tricorn::arbiter
