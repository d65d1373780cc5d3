// HUP: a new generation beside the old one, which leaves only when the new one has proved itself.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "arbiter/arbiter.h"
#include "arbiter/tokens.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

// Removes the files of unix sockets that are among `gone` and not among `kept`.
void unlink_those_without(const std::vector<BoundListener>& gone,
                          const std::vector<BoundListener>& kept) {
  for (const BoundListener& listener : gone) {
    const bool stays = std::any_of(kept.begin(), kept.end(), [&](const BoundListener& other) {
      return other.unix_path == listener.unix_path;
    });
    if (!stays && !listener.unix_path.empty()) ::unlink(listener.unix_path.c_str());
  }
}

}  // namespace

void Arbiter::reload() {
  if (state_ != State::Running) return;
  log_.info(fmt::format("Hang up: {}", own_name()));
  if (next_spawner_ || reload_ != nullptr || reload_failed_) {
    reload_again_ = true;
    return log_.info("A reload is under way; another one follows");
  }
  reload_again_ = false;
  if (old_arbiter_ == 0) notifier_.tell_reloading(base::monotonic_ns());
  auto started = SpawnerClient::start(program_.spawner);
  if (!started) return abandon_reload(started.error().text);
  next_spawner_.emplace(std::move(*started));
  watch(next_spawner_->fd(), EPOLLIN, token(Source::Spawner, next_spawner_->fd()));
  next_spawner_->load(conf_.location, conf_.explicitly_named, program_.command,
                      [this](const Answer& answer) { on_new_conf(answer); });
}

// The socket that has this address already, else a new one.
base::Result<BoundListener> Arbiter::bind_again(const std::string& address) const {
  for (const BoundListener& old : reload_->old_listeners) {
    if (old.address != address) continue;
    BoundListener again = duplicate(old);
    if (!again.fd.valid()) return base::fail_errno("dup", errno);
    return again;
  }
  return bind_listener(address, bind_options());
}

// Runs inside next_spawner_'s own callback: the old spawner changes place with it in
// commit_reload().
void Arbiter::on_new_conf(const Answer& answer) {
  if (!answer.ok) return abandon_reload(answer.text);
  auto options = resolve_(answer.values_json);
  if (!options) return abandon_reload(options.error().text);
  const std::vector<std::string> hosts = hosts_of(*options);
  if (hosts.empty()) return take_new_conf(std::move(*options));
  next_spawner_->look_up(hosts, [this, options = std::move(*options)](const Answer& found) mutable {
    if (!found.ok) return abandon_reload(found.text);
    if (auto usable = use_numbers(options, found.values_json); !usable)
      return abandon_reload(usable.error().text);
    take_new_conf(std::move(options));
  });
}

void Arbiter::take_new_conf(Options options) {
  auto outputs = prepare_outputs(options);
  if (!outputs) return abandon_reload(outputs.error().text);
  reload_ = std::make_unique<Reload>();
  reload_->outputs = std::move(*outputs);
  reload_->old_options = std::exchange(options_, std::move(options));
  open_log_files_for_workers();
  const auto& told = reload_->old_options.warnings;
  for (const std::string& warning : options_.warnings) {
    if (std::find(told.begin(), told.end(), warning) == told.end()) log_.warning(warning);
  }
  reload_->old_target = std::exchange(target_workers_, options_.workers);
  if (options_.bind != reload_->old_options.bind) {
    std::swap(reload_->old_listeners, listeners_);
    for (const std::string& address : options_.bind) {
      auto bound = bind_again(address);
      if (!bound) return abandon_reload(fmt::format("{}: {}", address, bound.error().text));
      listeners_.push_back(std::move(*bound));
    }
    for (const BoundListener& listener : listeners_) log_.info("Listening at: " + listener.name);
  }
  reload_wanted_ = true;  // committed by the loop, outside this callback
}

void Arbiter::commit_reload() {
  reload_wanted_ = false;
  reload_->old_spawner = std::exchange(spawner_, std::move(next_spawner_));
  next_spawner_.reset();
  spawner_settled_ = false;
  ++generation_;
  settle([this] {
    hook("nworkers_changed",
         {0, 0, target_workers_, reload_ ? reload_->old_target : target_workers_});
    preload([this] { hook("on_reload"); });
  });
}

void Arbiter::after_reload_ready() {
  if (reload_ == nullptr || !spawner_settled_ || reload_failed_) return;
  const auto fresh = std::count_if(workers_.begin(), workers_.end(), [this](const auto& entry) {
    return entry.second->generation == generation_ && entry.second->was_ready;
  });
  if (static_cast<unsigned>(fresh) < std::max(1U, target_workers_)) return;
  using heartbeat::Drain;
  const bool moved = !reload_->old_listeners.empty();
  for (const auto& [pid, worker] : workers_) {
    if (worker->generation != generation_)
      drain(*worker, moved ? Drain::kLeave | Drain::kLastAtDoor : Drain::kLeave);
  }
  if (moved) {
    remember_clients_of(reload_->old_listeners);
    unlink_those_without(reload_->old_listeners, listeners_);
  }
  if (reload_->old_spawner) poller_.remove(reload_->old_spawner->fd());
  const bool other_control =
      options_.control != reload_->old_options.control ||
      options_.control_socket != reload_->old_options.control_socket ||
      options_.control_socket_mode != reload_->old_options.control_socket_mode;
  if (other_control) open_control();
  use_outputs(std::move(reload_->outputs));
  show_title();
  const bool other_pidfile = options_.pidfile != reload_->old_options.pidfile;
  reload_.reset();  // the old spawner sees its channel close, and leaves
  if (other_pidfile) {
    if (auto done = pidfile_.move_to(pidfile_path()); !done) log_.error(done.error().text);
  }
  tell_ready();
}

// Rolled back by the loop: this may run inside a callback of the spawner that has to go.
void Arbiter::abandon_reload(const std::string& why) {
  if (reload_failed_) return;
  log_.error("Reload failed, the old workers go on serving: " + why);
  reload_failed_ = true;
}

void Arbiter::roll_back() {
  reload_failed_ = false;
  reload_wanted_ = false;
  tell_ready();
  if (reload_ != nullptr) {
    options_ = std::move(reload_->old_options);
    target_workers_ = reload_->old_target;
    if (!reload_->old_listeners.empty()) {
      unlink_those_without(listeners_, reload_->old_listeners);
      listeners_ = std::move(reload_->old_listeners);
    }
    if (reload_->old_spawner) {
      poller_.remove(spawner_->fd());
      retired_.push_back(std::move(*spawner_));
      spawner_ = std::move(reload_->old_spawner);
      spawner_settled_ = true;
      forks_pending_ = 0;
      ++generation_;
      for (const auto& [pid, worker] : workers_) {
        if (worker->generation + 2 == generation_)
          worker->generation = generation_;
        else
          drain(*worker);
      }
    }
    reload_.reset();
  }
  if (next_spawner_) {
    poller_.remove(next_spawner_->fd());
    retired_.push_back(std::move(*next_spawner_));
    next_spawner_.reset();
  }
}

}  // namespace tricorn::arbiter
