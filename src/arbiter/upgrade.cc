// USR2: a successor is started with this server's own words and listeners. Both serve until one of
// them is told to leave; its idle connections go to the other one. Source: gunicorn.md section 3.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arbiter/arbiter.h"
#include "arbiter/tokens.h"
#include "base/clock.h"
#include "base/process_title.h"
#include "heartbeat/wire.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kPatienceNs = 20'000'000'000;
constexpr int kCannotExecute = 127;  // what a shell says. Source: sh(1p), section exit status

// In the child: `fds` become 3, 4, … . They come from far above, so that none overwrites another.
void place_descriptors(const std::vector<int>& fds) {
  const int end = kFirstInheritedFd + static_cast<int>(fds.size());
  std::vector<int> high;
  for (const int fd : fds) high.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, end));
  for (std::size_t i = 0; i < high.size(); ++i)
    ::dup2(high[i], kFirstInheritedFd + static_cast<int>(i));
}

// In the child: what tells the successor where it comes from. @param listeners  how many
void name_descriptors(std::size_t listeners, bool managed, pid_t old_arbiter) {
  ::setenv(kOldArbiterVariable, std::to_string(old_arbiter).c_str(), 1);
  const int channel = kFirstInheritedFd + static_cast<int>(listeners);
  ::setenv(kOtherArbiterVariable, std::to_string(channel).c_str(), 1);
  if (managed) {
    ::setenv(kManagedPidVariable, std::to_string(::getpid()).c_str(), 1);
    ::setenv(kManagedCountVariable, std::to_string(listeners).c_str(), 1);
    return;
  }
  std::string numbers;
  for (int fd = kFirstInheritedFd; fd < channel; ++fd)
    numbers += (numbers.empty() ? "" : ",") + std::to_string(fd);
  ::setenv(kListenersVariable, numbers.c_str(), 1);
}

// In the child. The arbiter has one thread, so memory may be allocated after its fork.
[[noreturn]] void become_successor(const Program& program) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  std::vector<char*> words;
  for (const std::string& word : program.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  if (::chdir(program.directory.c_str()) != 0) {
    std::perror(program.directory.c_str());
  } else {
    ::execvp(words[0], words.data());
    std::perror(words[0]);
  }
  ::_exit(kCannotExecute);
}

}  // namespace

std::string Arbiter::pidfile_path() const {
  return options_.pidfile.empty() || old_arbiter_ == 0 ? options_.pidfile : options_.pidfile + ".2";
}

void Arbiter::show_title() const {
  if (!titles_) return;
  static_cast<void>(base::set_process_title(
      fmt::format("tricorn: master [{}{}]", options_.process_name, old_arbiter_ == 0 ? "" : ".2")));
}

void Arbiter::upgrade() {
  if (state_ != State::Running) return;
  upgrade_wanted_ = false;
  if (new_arbiter_ != 0 || pre_exec_runs_)
    return log_.warning("USR2 signal ignored. Child exists.");
  if (old_arbiter_ != 0) return log_.warning("USR2 signal ignored. Parent exists.");
  if (next_spawner_ || reload_ != nullptr || !spawner_) {
    upgrade_wanted_ = true;  // the hook needs a spawner that stays
    return;
  }
  pre_exec_runs_ = true;
  spawner_->hook("pre_exec", {}, [this](const Answer& answer) {
    pre_exec_runs_ = false;
    if (answer.ok) return start_successor();
    log_.error("No upgrade, hook pre_exec: " + answer.text);
  });
}

void Arbiter::start_successor() {
  if (state_ != State::Running) return;
  base::UniqueFd theirs;
  if (!heartbeat::socket_pair(other_arbiter_, theirs))
    return log_.error(fmt::format("No upgrade: socketpair: {}", std::strerror(errno)));
  std::vector<int> fds;
  for (const BoundListener& listener : listeners_) fds.push_back(listener.fd.get());
  fds.push_back(theirs.get());
  const pid_t own = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return log_.error(fmt::format("No upgrade: fork: {}", std::strerror(errno)));
  if (pid == 0) {
    place_descriptors(fds);
    name_descriptors(listeners_.size(), managed_sockets_, own);
    become_successor(program_);
  }
  new_arbiter_ = pid;
  watch(other_arbiter_.get(), EPOLLIN, token(Source::OtherArbiter, other_arbiter_.get()));
  if (own == 1) {
    log_.warning(
        "This server is process 1 of its container, which ends when it does: its "
        "successor cannot outlive it");
  }
}

void Arbiter::on_successor_end(int wait_status) {
  log_.write(
      wait_status == 0 ? base::Level::Info : base::Level::Error,
      fmt::format("The new server (pid:{}) has ended with {} {}; this one goes on", new_arbiter_,
                  WIFSIGNALED(wait_status) ? "signal" : "status",
                  WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status)));
  on_other_arbiter();
  new_arbiter_ = 0;
}

// Connections of the one that leaves, or word of a backlog in which nobody was woken.
void Arbiter::on_other_arbiter() {
  heartbeat::Message message;
  while (other_arbiter_.valid()) {
    base::UniqueFd passed;
    const auto received =
        heartbeat::receive_message(other_arbiter_.get(), message, passed, MSG_DONTWAIT);
    if (received == heartbeat::Received::Nothing) return;
    if (received == heartbeat::Received::Closed) {
      poller_.remove(other_arbiter_.get());
      other_arbiter_.reset();
      return;
    }
    if (message.verb == heartbeat::Verb::Look) {
      for (const auto& [pid, worker] : workers_) {
        if (worker->in_service()) send_order(*worker, heartbeat::Verb::Look);
      }
    } else if (passed.valid()) {
      adopt({std::move(passed), {message.payload, message.bytes}});
    }
  }
}

// The old one has ended when we are somebody else's child. Its pid file is free then.
void Arbiter::promote_if_due() {
  if (old_arbiter_ == 0 || ::getppid() == old_arbiter_) return;
  old_arbiter_ = 0;
  ::unsetenv(kOldArbiterVariable);
  log_.info("Master has been promoted.");
  show_title();
  notifier_.tell(fmt::format("MAINPID={}", ::getpid()));
  if (ever_ready_) tell_ready();
  if (auto moved = pidfile_.move_to(pidfile_path()); !moved) log_.error(moved.error().text);
  promote_control();
}

// Whoever shares them goes on with them, and a service manager owns its own.
void Arbiter::leave_listeners() {
  const bool shared = new_arbiter_ != 0 || old_arbiter_ != 0 || managed_sockets_;
  for (const BoundListener& listener : listeners_) {
    if (!shared && !listener.unix_path.empty()) ::unlink(listener.unix_path.c_str());
  }
  left_doors_.clear();
  for (const BoundListener& listener : listeners_) {
    struct stat status {};
    if (!shared && ::fstat(listener.fd.get(), &status) == 0) left_doors_.push_back(status.st_ino);
  }
  if (spawner_) spawner_->leave_listeners([](const Answer&) {});
  remember_clients_of(listeners_);
  listeners_.clear();
}

// ---- what a service manager is told
// ------------------------------------------------------------

// A successor says nothing until it is the main process: its end would be taken for the service's.
void Arbiter::tell_ready() {
  if (old_arbiter_ != 0 || state_ == State::Stopping) return;
  patience_until_ns_ = INT64_MAX;
  notifier_.tell(fmt::format("READY=1\nSTATUS=Serving with {} workers", target_workers_));
}

// Applications that load for minutes start under Gunicorn, which says READY before it loads them;
// a stop lasts as long as --graceful-timeout allows. Source: sd_notify(3) EXTEND_TIMEOUT_USEC.
void Arbiter::keep_manager_patient() {
  const std::int64_t now = base::monotonic_ns();
  if (!notifier_.enabled() || old_arbiter_ != 0 || now < patience_until_ns_) return;
  if (state_ == State::Running && target_workers_ == 0) return tell_ready();
  patience_until_ns_ = now + kPatienceNs / 2;
  notifier_.tell(fmt::format("EXTEND_TIMEOUT_USEC={}", kPatienceNs / 1000));
}

}  // namespace tricorn::arbiter
