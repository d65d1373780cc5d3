// Signals of the arbiter, and how it stops.
#include <fmt/format.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "arbiter/arbiter.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kQuickNs =
    2'000'000'000;  // a second INT during a graceful stop leaves this long

constexpr std::int64_t kBootGraceNs = 1'000'000'000;  // for what an import undoes when interrupted

constexpr std::size_t kEarlySignalsMax = 16;

std::string name_of_signal(int signal) {
  std::string name =
      ::sigabbrev_np(signal) != nullptr ? ::sigabbrev_np(signal) : std::to_string(signal);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

bool ends(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT; }

}  // namespace

void Arbiter::on_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (state_ == State::Starting && !ends(signal) && signal != SIGCHLD) {
      if (early_signals_.size() < kEarlySignalsMax) early_signals_.push_back(signal);
      continue;
    }
    if (signal != SIGCHLD) log_.info("Handling signal: " + name_of_signal(signal));
    on_signal(signal);
  }
}

// What came before there was anything it could act on.
void Arbiter::handle_early_signals() {
  for (const int signal : std::exchange(early_signals_, {})) {
    log_.info("Handling signal: " + name_of_signal(signal));
    on_signal(signal);
  }
}

void Arbiter::on_signal(int signal) {
  switch (signal) {
    case SIGCHLD:
      return reap();
    case SIGTERM:
      return stop(true);
    case SIGINT:
    case SIGQUIT:
      return stop(false);
    case SIGHUP:
      return reload();
    case SIGTTIN:
      return change_workers(+1);
    case SIGTTOU:
      return change_workers(-1);
    case SIGUSR1:
      return reopen_logs();
    case SIGUSR2:
      return upgrade();
    case SIGWINCH:
      if (!options_.daemon) return log_.debug("SIGWINCH ignored. Not daemonized");
      log_.info("graceful stop of workers");
      target_workers_ = 0;
      return;
    default:
      return;
  }
}

void Arbiter::change_workers(int by) {
  if (state_ != State::Running || (by < 0 && target_workers_ <= 1)) return;
  const unsigned before = target_workers_;
  target_workers_ = by > 0 ? before + 1 : before - 1;
  hook("nworkers_changed", {0, 0, target_workers_, before});
}

// ---- stopping
// --------------------------------------------------------------------------------------

void Arbiter::stop(bool graceful) {
  const std::int64_t now = base::monotonic_ns();
  if (state_ == State::Starting && !announced_) {
    done_ = true;
    return;
  }
  if (state_ == State::Stopping) {
    if (graceful || !graceful_) return;
    log_.info("Quick shutdown requested");
    graceful_ = false;
    stop_by_ns_ = std::min(stop_by_ns_, now + kQuickNs);
    for (const auto& [pid, worker] : workers_) signal_worker(*worker, SIGQUIT);
    return;
  }
  state_ = State::Stopping;
  graceful_ = graceful;
  stop_by_ns_ = now + options_.graceful_timeout_ns;
  patience_until_ns_ = 0;
  if (new_arbiter_ != 0) {
    notifier_.tell(fmt::format("MAINPID={}", new_arbiter_));
  } else if (old_arbiter_ == 0) {
    notifier_.tell("STOPPING=1\nSTATUS=Stopping: requests under way may finish");
  }
  using heartbeat::Drain;
  const std::uint32_t how =
      other_arbiter_.valid() ? Drain::kLeave : Drain::kLeave | Drain::kLastAtDoor | Drain::kAlone;
  leave_listeners();
  for (const auto& [pid, worker] : workers_) {
    worker->leaving = false;  // told again: it may have been draining at its own pace
    drain(*worker, how);
    if (!worker->was_ready && !worker->ready()) end_boot(*worker);
    if (!graceful) signal_worker(*worker, SIGQUIT);
  }
}

// A worker that boots serves nobody: there is nothing to wait for.
void Arbiter::end_boot(WorkerProcess& worker) {
  signal_worker(worker, SIGINT);
  kill_worker_after(worker, kBootGraceNs, "it was still booting when the server stopped");
}

void Arbiter::finish_stop() {
  const std::int64_t now = base::monotonic_ns();
  for (const auto& [pid, worker] : workers_) kill_if_due(*worker);
  for (const auto& [pid, worker] : workers_) {
    if (worker->has_lost_threads && worker->kill.reason.empty() && !others_running(*worker)) {
      kill_worker(*worker, "only the timed-out request above was left", worker->ref);
    }
  }
  if (!workers_.empty() || forks_pending_ > 0) {
    for (const auto& [pid, worker] : workers_) look_before_cut(*worker, stop_by_ns_);
    if (now >= stop_by_ns_) cut_remaining();
    leave_stuck_behind();
    wake_at(now + 50'000'000);
    return;
  }
  // A stuck worker holds its end of the channel for ever.
  const bool keepers_answer = std::any_of(buried_.begin(), buried_.end(), [](const auto& entry) {
    return !entry.second->told_as_stuck;
  });
  if ((keepers_answer || !orphans_.empty()) && now < stop_by_ns_ + kQuickNs)
    return wake_at(now + 50'000'000);  // keepers still answer
  const base::Level level = exit_status_ == 0 ? base::Level::Info : base::Level::Error;
  log_.write(level, fmt::format("Shutting down: {}", own_name()));
  if (!stop_reason_.empty()) log_.write(level, "Reason: " + stop_reason_);
  pidfile_.remove();
  close_control();
  finish_hooks();
}

// on_exit is the last thing; the spawner's end ends us, so that nobody holds a port when we are
// gone.
void Arbiter::finish_hooks() {
  state_ = State::Stopped;
  if (!spawner_) {
    done_ = true;
    return;
  }
  spawner_->hook("on_exit", {}, [this](const Answer& answer) {
    if (!answer.ok && answer.said) {
      std::fputs(answer.said->c_str(), stderr);
      exit_status_ = answer.exit_status;
    }
    spawner_->let_go();
  });
  stop_by_ns_ = base::monotonic_ns() + kQuickNs;
}

void Arbiter::cut_remaining() {
  for (const auto& [pid, worker] : workers_) {
    cut_worker(*worker,
               graceful_ ? "at the end of --graceful-timeout" : "at the end of the quick shutdown");
  }
}

}  // namespace tricorn::arbiter
