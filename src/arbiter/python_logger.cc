#include "arbiter/python_logger.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "arbiter/arbiter.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

std::string how_it_ended(int wait_status) {
  if (!WIFSIGNALED(wait_status))
    return fmt::format("exited with code {}", WEXITSTATUS(wait_status));
  const char* name = ::sigabbrev_np(WTERMSIG(wait_status));
  return name != nullptr ? fmt::format("was sent SIG{}", name)
                         : fmt::format("was sent signal {}", WTERMSIG(wait_status));
}

}  // namespace

void PythonLogger::started(pid_t pid, std::int64_t now_ns) {
  pid_ = pid;
  started_ns_ = now_ns;
  due_ns_ = INT64_MAX;
}

std::int64_t PythonLogger::ended(std::int64_t now_ns) {
  if (pid_ != 0 && now_ns - started_ns_ >= kLongLifeNs) ends_ = 0;
  pid_ = 0;
  const std::int64_t pause = ends_ == 0 ? 0 : kFirstPauseNs << std::min(ends_ - 1, kPauseDoublings);
  ++ends_;
  due_ns_ = now_ns + pause;
  return pause;
}

// The logger of this channel, if there is one, is already running.
void Arbiter::use_python_log(base::UniqueFd writer, pid_t logger) {
  static_cast<void>(log_.divert(std::move(writer)));
  // Python's logger has a level of its own.
  log_.set_threshold(options_.python_log ? base::Level::Debug : options_.error_log.threshold);
  python_logger_ = {};
  if (logger > 0) note_logger(logger);
}

// One that has ended already was reaped as somebody unknown.
void Arbiter::note_logger(pid_t pid) {
  python_logger_.started(pid, base::monotonic_ns());
  if (::kill(pid, 0) != 0 && errno == ESRCH) on_logger_end("has ended at once");
}

void Arbiter::on_logger_death(int wait_status) { on_logger_end(how_it_ended(wait_status)); }

void Arbiter::on_logger_end(const std::string& how) {
  const pid_t pid = python_logger_.pid();
  const std::int64_t pause = python_logger_.ended(base::monotonic_ns());
  if (log_.diverted()) python_logger_.channel = log_.divert({});
  log_.set_threshold(options_.error_log.threshold);
  if (done_ || state_ == State::Stopped) return;
  log_.warning(fmt::format(
      "The process that calls Python's logging (pid:{}) {}; lines come here until it runs again, "
      "which is tried {}",
      pid, how, pause == 0 ? "now" : fmt::format("in {} s", pause / 1'000'000'000)));
}

// By the spawner that made the logger; a reload brings a logger of its own.
void Arbiter::start_logger_if_due() {
  if (python_logger_.due_ns() == INT64_MAX || reload_ != nullptr || !spawner_settled_) return;
  if (base::monotonic_ns() < python_logger_.due_ns()) return wake_at(python_logger_.due_ns());
  python_logger_.asked();
  spawner_->start_logger([this](const Answer& answer) {
    if (!python_logger_.channel.valid()) return;  // there is another one
    if (!answer.ok) {
      const std::int64_t pause = python_logger_.ended(base::monotonic_ns());
      return log_.warning(
          fmt::format("No process to call Python's logging, the next try is in {} s: {}",
                      pause / 1'000'000'000, answer.text));
    }
    static_cast<void>(log_.divert(std::move(python_logger_.channel)));
    log_.set_threshold(base::Level::Debug);
    log_.warning(fmt::format(
        "Python's logging is called again (pid:{}); lines since the last process of that kind died "
        "are in the error log",
        answer.pid));
    note_logger(answer.pid);
  });
}

}  // namespace tricorn::arbiter
