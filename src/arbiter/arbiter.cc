#include "arbiter/arbiter.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>

#include "arbiter/tokens.h"
#include "base/check.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kSlowReaderNs = 100'000'000;  // until the log tries again
// Later than this and we were starved or suspended: accuse nobody. Source: diagnosis.md section 6.
constexpr std::int64_t kOwnDelayMaxNs = kSecond;

std::int64_t suspended_ns() {
  timespec boot;
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  return std::int64_t{boot.tv_sec} * kSecond + boot.tv_nsec - base::monotonic_ns();
}

}  // namespace

Arbiter::Arbiter(Program program, ConfLocation conf, Resolve resolve)
    : program_(std::move(program)),
      conf_(std::move(conf)),
      resolve_(std::move(resolve)),
      control_(
          poller_, [](int fd) { return token(Source::ControlSocket, fd); },
          [](int fd) { return token(Source::ControlClient, fd); },
          [this](ControlSocket::Ticket ticket, std::string_view request) {
            return on_control_request(ticket, request);
          }),
      started_ns_(base::monotonic_ns()) {}

Arbiter::~Arbiter() = default;

int Arbiter::run() {
  if (!prepare_process() || !adopt_inherited() || !start_spawner()) return 1;
  load_conf();
  std::int64_t suspended = suspended_ns();
  while (!done_) {
    const std::int64_t expected = wake_ns_;
    turn(timeout_ms());
    if (log_.behind()) {
      log_.flush();
      wake_at(base::monotonic_ns() + kSlowReaderNs);
    }
    note_own_delay(expected);
    if (const std::int64_t now = suspended_ns(); now - suspended > kOwnDelayMaxNs) {
      suspended = now;
      note_own_delay(1);  // the machine slept: nobody here was slow
    }
    retired_.clear();
    if (background_wanted_) go_to_background();
    wake_at(notifier_.beat(base::monotonic_ns()));
    keep_manager_patient();
    if (state_ == State::Running) handle_early_signals();
    promote_if_due();
    if (reload_failed_) roll_back();
    if (reload_again_ && !next_spawner_ && reload_ == nullptr) reload();
    if (reload_wanted_ && !pre_exec_runs_) commit_reload();
    if (upgrade_wanted_) upgrade();
    place_orphans();
    if (state_ == State::Running) supervise();
    supervise_preload();
    attend_control();
    attend_profiler();
    start_logger_if_due();
    if (state_ != State::Starting) manage_workers();
    send_metrics();
    if (state_ == State::Stopping) finish_stop();
    if (state_ == State::Stopped && base::monotonic_ns() >= stop_by_ns_) done_ = true;
  }
  finish_python_log();
  return exit_status_;
}

bool Arbiter::prepare_process() {
  ::prctl(PR_SET_NAME, "tricorn");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    const rlimit raised{std::min<rlim_t>(files.rlim_max, 1 << 20), files.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &raised);  // connections of dead workers pass through us
  }
  sigset_t all;
  sigemptyset(&all);
  for (const int signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD}) {
    sigaddset(&all, signal);
  }
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  TRICORN_CHECK(signals_.valid());
  watch(signals_.get(), EPOLLIN, token(Source::Signals, 0));
  return true;
}

void Arbiter::watch(int fd, std::uint32_t events, std::uint64_t token) {
  poller_.add(fd, events, token);
}

void Arbiter::wake_at(std::int64_t at_ns) { wake_ns_ = std::min(wake_ns_, at_ns); }

int Arbiter::timeout_ms() const {
  const std::int64_t left = wake_ns_ - base::monotonic_ns();
  return static_cast<int>(std::clamp<std::int64_t>(left / 1'000'000 + 1, 0, 1000));
}

void Arbiter::turn(int timeout_ms) {
  wake_ns_ = INT64_MAX;
  std::array<epoll_event, 64> events;
  const int count = poller_.wait(events, timeout_ms);
  for (int i = 0; i < count && !done_; ++i) on_event(events[static_cast<std::size_t>(i)]);
}

void Arbiter::note_own_delay(std::int64_t expected_ns) {
  const std::int64_t now = base::monotonic_ns();
  if (expected_ns == INT64_MAX || now - expected_ns < kOwnDelayMaxNs || expected_ns == 0) return;
  judge_not_before_ns_ = now + std::min(options_.request_limit_ns(), 5 * kSecond);
  log_.warning(fmt::format(
      "The arbiter itself was not running for {:.1f} s: no worker is judged by that time",
      expected_ns == 1 ? 1.0 : static_cast<double>(now - expected_ns) / 1e9));
}

void Arbiter::on_event(const epoll_event& event) {
  const int fd = fd_of(event.data.u64);
  switch (source_of(event.data.u64)) {
    case Source::Signals:
      on_signals();
      break;
    case Source::Spawner:
      if (spawner_ && spawner_->fd() == fd) {
        if (!spawner_->on_readable()) on_spawner_lost();
      } else if (next_spawner_ && next_spawner_->fd() == fd) {
        if (!next_spawner_->on_readable()) abandon_reload("the new spawner died");
      }
      break;
    case Source::Control:
      for (const auto& [pid, worker] : workers_) {
        if (worker->control.get() != fd) continue;
        on_control(*worker);
        break;
      }
      break;
    case Source::Keeper:
      on_keeper(fd);
      break;
    case Source::OtherArbiter:
      if (other_arbiter_.valid()) on_other_arbiter();
      break;
    case Source::ControlSocket:
      control_.on_connection(base::monotonic_ns());
      break;
    case Source::ControlClient:
      control_.on_client(fd, event.events, base::monotonic_ns());
      break;
  }
}

}  // namespace tricorn::arbiter
