// From nothing to serving: spawner, configuration, outputs, listeners, preload.
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arbiter/arbiter.h"
#include "arbiter/tokens.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

constexpr int kBindAttempts = 5;  // Gunicorn's: five times, a second apart
constexpr int kBindPauseMs = 1000;
constexpr std::size_t kLogLineMax = 256 * 1024;
constexpr std::int64_t kLastLinesNs = 500'000'000;
constexpr int kLastLinesPauseMs = 10;

// In Python's words where there is an errno, or one of getaddrinfo's numbers, which are negative.
std::string reason_of(const base::Error& error) {
  if (error.code == 0) return error.text;
  const char* words = error.code < 0 ? ::gai_strerror(error.code) : std::strerror(error.code);
  return fmt::format("[Errno {}] {}", error.code, words);
}

// Workers open the access log; a mistake in its name is found before they are there.
base::Result<void> can_append(const std::string& path) {
  if (path.empty() || path == "-") return {};
  const base::UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644));
  if (file.valid() || errno == ENXIO) return {};  // a pipe that nobody reads yet
  return base::fail(fmt::format("'{}' isn't writable: {}", path, std::strerror(errno)));
}

}  // namespace

// Before the log is open there is only stderr, and Gunicorn's form for it. A server that serves
// already goes on doing so.
void Arbiter::fail_start(int status, const std::string& text) {
  if (reload_ != nullptr) return abandon_reload(text);
  if (state_ != State::Starting) return log_.error(text);
  // A refused value has two lines of its own: which, then why.
  const bool complete = text.find("\nError: ") != std::string::npos;
  std::fprintf(stderr, complete ? "%s\n" : "\nError: %s\n", text.c_str());
  exit_status_ = status;
  done_ = true;
}

void Arbiter::fail_start(const Answer& answer) {
  if (reload_ != nullptr || state_ != State::Starting || !answer.said)
    return fail_start(answer.exit_status, answer.text);
  std::fputs(answer.said->c_str(), stderr);
  exit_status_ = answer.exit_status;
  done_ = true;
}

bool Arbiter::start_spawner() {
  auto started = SpawnerClient::start(program_.spawner);
  if (!started) {
    fail_start(1, started.error().text);
    return false;
  }
  spawner_.emplace(std::move(*started));
  watch(spawner_->fd(), EPOLLIN, token(Source::Spawner, spawner_->fd()));
  return true;
}

void Arbiter::load_conf() {
  spawner_->load(conf_.location, conf_.explicitly_named, program_.command,
                 [this](const Answer& answer) { on_conf(answer); });
}

void Arbiter::on_conf(const Answer& answer) {
  if (!answer.ok) return fail_start(answer);
  auto options = resolve_(answer.values_json);
  if (!options) return fail_start(1, options.error().text);
  options_ = std::move(*options);
  target_workers_ = options_.workers;
  if (options_.check_only) {
    std::fputs(options_.print.c_str(), stdout);
    std::fflush(stdout);
    give_settings([this] {
      spawner_->preload([this](const Answer& loaded) {
        if (!loaded.ok) {
          std::fprintf(stderr, "\nError while loading the application:\n\n%s\n",
                       loaded.text.c_str());
          exit_status_ = 1;
        }
        done_ = true;
      });
    });
    return;
  }
  if (options_.daemon && !in_background_ && old_arbiter_ == 0) {
    background_wanted_ = true;  // outside this callback of the spawner, which has to go
    return;
  }
  if (!open_outputs()) return;
  // Gunicorn's order, which hooks rely on.
  give_settings([this] {
    starting_hook("nworkers_changed", {0, 0, target_workers_, std::nullopt},
                  [this] { preload([this] { open_for_business(); }); });
  });
}

bool Arbiter::open_outputs() {
  if (auto opened = log_.open(options_.error_log); !opened)
    return fail_start(1, opened.error().text), false;
  if (auto opened = incidents_.open(options_.report); !opened)
    return fail_start(1, opened.error().text), false;
  if (auto writable = can_append(options_.access_log); !writable)
    return fail_start(1, writable.error().text), false;
  open_log_files_for_workers();
  if (!open_sinks()) return false;
  if (options_.python_log) {  // what is said before the spawner reads waits in the socket
    make_log_channel();
    log_.divert(base::UniqueFd(::fcntl(log_writer_.get(), F_DUPFD_CLOEXEC, 0)));
    log_.set_threshold(base::Level::Debug);  // the logger has a level of its own
  }
  return true;
}

// To the process that calls Python's logger for us: docs/decisions/0012.
void Arbiter::make_log_channel() {
  if (!heartbeat::socket_pair(log_reader_, log_writer_))
    log_.error(fmt::format("No channel to Python's logging: {}", std::strerror(errno)));
}

// Lines that nobody came to read are written here; else their reader gets a moment, since the end
// of a container's first process is everybody's.
void Arbiter::finish_python_log() {
  log_.divert({});
  log_writer_.reset();
  std::string text(kLogLineMax, '\0');
  ssize_t got = 0;
  while (log_reader_.valid() &&
         (got = ::recv(log_reader_.get(), text.data(), text.size(), MSG_DONTWAIT)) > 0) {
    const auto line = nlohmann::json::parse(text.data(), text.data() + got, nullptr, false);
    if (!line.is_object()) continue;
    const std::string message = line.value("message", "");
    const std::string tail = line.value("tail", "");
    const int level = line.value("level", 20) / 10 - 1;
    log_.write(
        {static_cast<base::Level>(std::clamp(level, 0, 4)), message, line.value("pid", 0), tail});
  }
  const std::int64_t until = base::monotonic_ns() + kLastLinesNs;
  while (options_.python_log && base::monotonic_ns() < until &&
         ::waitpid(-1, nullptr, WNOHANG) >= 0)
    ::poll(nullptr, 0, kLastLinesPauseMs);
  while (log_.behind() && base::monotonic_ns() < until) {
    log_.flush();
    ::poll(nullptr, 0, kLastLinesPauseMs);
  }
}

// Workers that run as somebody else open them again by themselves, after a rotation too.
void Arbiter::open_log_files_for_workers() {
  if (options_.user < 0 && options_.group < 0) return;
  const auto user = options_.user < 0 ? ::geteuid() : static_cast<uid_t>(options_.user);
  const auto group = options_.group < 0 ? ::getegid() : static_cast<gid_t>(options_.group);
  if (user == ::geteuid() && group == ::getegid()) return;
  for (const std::string& path : {options_.error_log.path, options_.access_log}) {
    if (path.empty() || path == "-") continue;
    const base::UniqueFd file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666));
    if (!file.valid() || ::fchown(file.get(), user, group) != 0)
      log_.warning(
          fmt::format("{} may not be writable for workers: {}", path, std::strerror(errno)));
  }
}

BindOptions Arbiter::bind_options() const {
  return {options_.backlog, options_.umask, options_.reuse_port};
}

void Arbiter::open_for_business() {
  log_.info("Starting tricorn " TRICORN_VERSION);
  for (const std::string& warning : options_.warnings) log_.warning(warning);
  if (!options_.pidfile.empty()) {
    if (auto created = pidfile_.create(pidfile_path()); !created)
      return fail_start(1, created.error().text + "\n");
  }
  starting_hook("on_starting", {}, [this] {
    if (!bind_all()) return;
    give_listeners([this] {
      announce_listeners();
      open_control();
      starting_hook("when_ready", {}, [this] { state_ = State::Running; });
    });
  });
}

void Arbiter::announce_listeners() {
  std::string names;
  for (const BoundListener& listener : listeners_)
    names += (names.empty() ? "" : ",") + listener.name;
  log_.info(fmt::format("Listening at: {} ({})", names, ::getpid()));
  log_.info(fmt::format("Using worker: {}", options_.worker_class));
}

// A hook that fails before there is a service ends the server, as in Gunicorn.
void Arbiter::starting_hook(const char* name, const HookArguments& arguments,
                            std::function<void()> then) {
  spawner_->hook(name, arguments, [this, then = std::move(then)](const Answer& answer) {
    if (!answer.ok) return fail_start(answer);
    then();
  });
}

// Sockets that were passed on are all there is: --bind is for those that open their own.
bool Arbiter::adopt_inherited() {
  auto inherited = take_inheritance();
  if (!inherited) return fail_start(1, inherited.error().text), false;
  old_arbiter_ = inherited->old_arbiter;
  notifier_.open(old_arbiter_);
  managed_sockets_ = inherited->managed;
  if (inherited->fds.size() > kListenersMax) {
    return fail_start(1, fmt::format("{} listening sockets were passed on, at most {} are possible",
                                     inherited->fds.size(), kListenersMax)),
           false;
  }
  for (const int fd : inherited->fds) {
    auto listener = adopt_listener(base::UniqueFd(fd));
    if (!listener) return fail_start(1, listener.error().text), false;
    listeners_.push_back(std::move(*listener));
  }
  if (inherited->other_arbiter < 0) return true;
  other_arbiter_.reset(inherited->other_arbiter);
  ::fcntl(other_arbiter_.get(), F_SETFD, FD_CLOEXEC);
  watch(other_arbiter_.get(), EPOLLIN, token(Source::OtherArbiter, other_arbiter_.get()));
  return true;
}

bool Arbiter::bind_all() {
  if (!listeners_.empty()) return true;
  for (const std::string& address : options_.bind) {
    for (int attempt = 1;; ++attempt) {
      auto bound = bind_listener(address, bind_options());
      if (bound) {
        listeners_.push_back(std::move(*bound));
        break;
      }
      const std::string shown = python_style(address);
      if (bound.error().code == EADDRINUSE) log_.error(fmt::format("Connection in use: {}", shown));
      if (bound.error().code == EADDRNOTAVAIL)
        log_.error(fmt::format("Invalid address: {}", shown));
      log_.error(fmt::format("connection to {} failed: {}", shown, reason_of(bound.error())));
      if (bound.error().code != EADDRINUSE || attempt == kBindAttempts) {
        log_.error(fmt::format("Can't connect to {}", shown));
        exit_status_ = 1;
        done_ = true;
        return false;
      }
      log_.debug("Retrying in 1 second.");
      pollfd asked_to_stop{signals_.get(), POLLIN, 0};
      if (::poll(&asked_to_stop, 1, kBindPauseMs) > 0) return done_ = true, false;
    }
  }
  return true;
}

void Arbiter::settle(std::function<void()> then) {
  give_settings([this, then = std::move(then)]() mutable { give_listeners(std::move(then)); });
}

void Arbiter::give_settings(std::function<void()> then) {
  std::vector<int> channel;
  const bool python = options_.python_log && !options_.check_only;
  if (python) {
    if (!log_reader_.valid()) make_log_channel();
    channel = {log_reader_.get(), log_writer_.get()};
  }
  spawner_->settle(options_.settings_json, options_.app, channel,
                   [this, python, then = std::move(then)](const Answer& answer) {
                     base::UniqueFd writer = std::move(log_writer_);
                     if (!answer.ok) return fail_start(answer);
                     log_reader_.reset();
                     log_.divert(std::move(writer));
                     log_.set_threshold(python ? base::Level::Debug : options_.error_log.threshold);
                     then();
                   });
}

void Arbiter::give_listeners(std::function<void()> then) {
  std::vector<std::string> names;
  std::vector<int> fds;
  for (const BoundListener& listener : listeners_) {
    names.push_back(listener.name);
    fds.push_back(listener.fd.get());
  }
  spawner_->listen(names, fds, [this, then = std::move(then)](const Answer& answer) {
    if (!answer.ok) return fail_start(answer);
    spawner_settled_ = true;
    then();
  });
}

void Arbiter::preload(std::function<void()> then) {
  if (!options_.preload) return then();
  spawner_->preload([this, then = std::move(then)](const Answer& answer) {
    if (!answer.ok) return fail_start(answer);
    then();
  });
}

// ---- a spawner that dies while we serve: workers go on, a new one takes over
// -----------------------

void Arbiter::on_spawner_lost() {
  poller_.remove(spawner_->fd());
  SpawnerClient lost = std::move(*spawner_);
  spawner_.reset();
  spawner_settled_ = false;
  if (state_ == State::Stopped) {
    ::waitpid(lost.pid(), nullptr, 0);  // it has closed its files already
    done_ = true;
    return;
  }
  if (state_ == State::Starting)
    return fail_start(1, "the spawner died while it loaded the configuration");
  if (state_ == State::Stopping) return;
  log_.error(fmt::format(
      "Spawner (pid:{}) died; the workers go on serving, a new spawner is started", lost.pid()));
  lost.fail_all("the spawner died");
  recover_spawner();
}

void Arbiter::recover_spawner() {
  auto started = SpawnerClient::start(program_.spawner);
  if (!started) {
    log_.critical(
        fmt::format("No new spawner: {}; workers that die are not replaced", started.error().text));
    return;
  }
  spawner_.emplace(std::move(*started));
  watch(spawner_->fd(), EPOLLIN, token(Source::Spawner, spawner_->fd()));
  spawner_->load(conf_.location, conf_.explicitly_named, program_.command,
                 [this](const Answer& answer) {
                   if (!answer.ok) log_.error("The new spawner: " + answer.text);
                 });
  settle([this] { preload([] {}); });
}

}  // namespace tricorn::arbiter
