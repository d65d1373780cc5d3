// From nothing to serving: spawner, configuration, listeners, preload.
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
#include <csignal>
#include <cstdio>
#include <cstring>

#include "arbiter/arbiter.h"
#include "arbiter/tokens.h"
#include "base/clock.h"
#include "diagnose/verdict.h"

namespace tricorn::arbiter {
namespace {

constexpr int kBindAttempts = 5;  // Gunicorn's: five times, a second apart
constexpr int kBindPauseMs = 1000;

// In Python's words where there is an errno, or one of getaddrinfo's numbers, which are negative.
std::string reason_of(const base::Error& error) {
  if (error.code == 0) return error.text;
  const char* words = error.code < 0 ? ::gai_strerror(error.code) : std::strerror(error.code);
  return fmt::format("[Errno {}] {}", error.code, words);
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
  auto adopted = SpawnerClient::adopt();
  auto started = adopted ? base::Result<SpawnerClient>(std::move(*adopted))
                         : SpawnerClient::start(program_.spawner);
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
      spawner_->preload(-1, [this](const Answer& loaded) {
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
      starting_hook("when_ready", {}, [this] {
        if (state_ == State::Starting) state_ = State::Running;  // else it was stopped meanwhile
      });
    });
  });
}

void Arbiter::announce_listeners() {
  std::string names;
  for (const BoundListener& listener : listeners_)
    names += (names.empty() ? "" : ",") + listener.name;
  log_.info(fmt::format("Listening at: {} ({})", names, ::getpid()));
  log_.info(fmt::format("Using worker: {}", options_.worker_class));
  announced_ = true;
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
                   [this, then = std::move(then)](const Answer& answer) {
                     base::UniqueFd writer = std::move(log_writer_);
                     // What a start has said until now nobody else will read.
                     if (answer.ok || state_ != State::Starting) log_reader_.reset();
                     if (!answer.ok) return fail_start(answer);
                     titles_ = answer.titles;
                     if (reload_ != nullptr) {
                       reload_->outputs.python_log = std::move(writer);
                       reload_->outputs.logger = answer.pid;
                     } else {
                       use_python_log(std::move(writer), answer.pid);
                       if (!options_.check_only) show_title();
                     }
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
  const base::UniqueFd page(heartbeat::create_page_fd());
  heartbeat::Page shared =
      page.valid() ? heartbeat::Page::create(page.get(), 1, 1) : heartbeat::Page();
  if (shared.valid())
    preload_watch_ = std::make_unique<PreloadWatch>(spawner_->pid(), std::move(shared));
  const int told = preload_watch_ ? page.get() : -1;
  spawner_->preload(told, [this, then = std::move(then)](const Answer& answer) {
    preload_watch_.reset();
    if (!answer.ok) return fail_start(answer);
    then();
  });
}

Arbiter::PreloadWatch::PreloadWatch(pid_t spawner, heartbeat::Page shared)
    : pid(spawner),
      page(std::move(shared)),
      inspector(spawner, page),
      began_ns(base::monotonic_ns()) {}

// An import that hangs here keeps the server from its start, and nothing else would say so.
void Arbiter::supervise_preload() {
  const std::int64_t limit = boot_limit_ns();
  if (!preload_watch_ || preload_watch_->told || limit == 0) return;
  PreloadWatch& preload = *preload_watch_;
  if (!spawner_ || spawner_->pid() != preload.pid) return preload_watch_.reset();  // it is gone
  const std::int64_t due = preload.began_ns + limit;
  const diagnose::Target target{preload.pid, 0, nullptr};
  sample_boot(preload.inspector, preload.watch, preload.pid, preload.began_ns, limit);
  take_look(preload.inspector, preload.watch, target, due, limit);
  if (preload.watch.looks.size() < kLooks) return;
  preload.told = true;
  diagnose::Evidence evidence = evidence_of(preload.pid);
  evidence.life = heartbeat::Life::Booting;
  evidence.running_ns = base::monotonic_ns() - preload.began_ns;
  evidence.timeout_ns = limit;
  evidence.looks = std::move(preload.watch.looks);
  evidence.samples = std::move(preload.watch.samples);
  preload.inspector.investigate(evidence);
  preload.ended = options_.boot_timeout_ns != 0;
  incidents_.slow_preload(diagnose::decide(evidence), evidence, references_.next(), preload.ended);
  if (preload.ended) ::kill(preload.pid, SIGKILL);  // not reaped before it is seen as lost
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
  const bool ended = preload_watch_ && preload_watch_->pid == lost.pid() && preload_watch_->ended;
  if (state_ == State::Starting) {
    return fail_start(1, ended ? "the application was not loaded within --boot-timeout"
                               : "the spawner died while it loaded the configuration");
  }
  if (state_ == State::Stopping) return;
  log_.error(fmt::format("Spawner (pid:{}) {}; the workers go on serving, a new spawner is started",
                         lost.pid(), ended ? "was ended" : "died"));
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
