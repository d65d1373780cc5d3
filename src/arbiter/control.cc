// The control socket's place in the arbiter: where it lies, when it opens, moves and goes.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "arbiter/arbiter.h"
#include "arbiter/control_answers.h"
#include "base/clock.h"
#include "config/control_paths.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// Names tried for the socket of one pid: servers in containers may share a directory and a pid.
constexpr int kNamesMax = 8;
// Files looked at when those of killed servers are removed.
constexpr int kNamesLookedAt = 256;

// The first of the usual directories that is, or can be made, ours alone; empty: none.
std::string own_directory() {
  for (const std::string& directory : config::control_directories(std::getenv, ::geteuid())) {
    if (config::prepare_control_directory(directory, ::geteuid())) return directory;
  }
  return {};
}

std::string name_in(const std::string& directory, int attempt) {
  const std::string again = attempt == 0 ? "" : fmt::format("-{}", attempt + 1);
  return fmt::format("{}/{}{}{}", directory, ::getpid(), again, config::kControlSuffix);
}

// Files of servers that were killed. One that is just being made has a living pid in its name.
void remove_deserted(const std::string& directory) {
  std::error_code none;
  int looked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
    const std::string name = entry.path().filename();
    const pid_t pid = std::atoi(name.c_str());
    if (++looked > kNamesLookedAt) return;
    if (!name.ends_with(config::kControlSuffix) || pid <= 0) continue;
    if (::kill(pid, 0) != 0 && errno == ESRCH) ControlSocket::remove_deserted(entry.path());
  }
}

}  // namespace

// What cannot be opened is told once and costs nothing else. Somebody who named a path is warned;
// a container without a writable directory is no reason to alarm anybody.
void Arbiter::open_control() {
  close_control();
  if (!options_.control) return log_.debug("Control socket disabled");
  if (options_.control_socket.empty()) return open_default_control();
  // Beside the old server, until it ends.
  const std::string path = options_.control_socket + (old_arbiter_ == 0 ? "" : ".2");
  if (auto opened = control_.open(path, options_.control_socket_mode); !opened)
    return log_.warning("Failed to start control socket: " + opened.error().text);
  name_control();
  log_.info("Control socket listening at " + control_.path());
}

void Arbiter::open_default_control() {
  const std::string directory = own_directory();
  if (directory.empty())
    return log_.info("No control socket: no directory for it can be written; see --control-socket");
  remove_deserted(directory);
  for (int attempt = 0;; ++attempt) {
    auto opened = control_.open(name_in(directory, attempt), options_.control_socket_mode);
    if (opened) return log_.info("Control socket listening at " + control_.path());
    if (opened.error().code != EADDRINUSE || attempt + 1 == kNamesMax)
      return log_.info("No control socket: " + opened.error().text);
  }
}

// A link among the default names, so that tricornctl finds a socket that lies elsewhere.
void Arbiter::name_control() {
  const std::string directory = own_directory();
  if (directory.empty()) return;
  const std::string link = name_in(directory, 0);
  std::string target = control_.path();
  if (!target.starts_with('/')) {
    char* here = ::getcwd(nullptr, 0);
    target = here == nullptr ? "" : fmt::format("{}/{}", here, target);
    std::free(here);
  }
  struct stat status {};
  if (::lstat(link.c_str(), &status) == 0 && !S_ISLNK(status.st_mode)) return;
  ::unlink(link.c_str());
  if (::symlink(target.c_str(), link.c_str()) == 0) control_link_ = link;
}

void Arbiter::close_control() {
  control_.close();
  if (!control_link_.empty()) ::unlink(control_link_.c_str());
  control_link_.clear();
}

// The old server has ended: its place is ours.
void Arbiter::promote_control() {
  if (!control_.is_open() || options_.control_socket.empty()) return;
  if (control_.path() == options_.control_socket) return;
  if (auto moved = control_.rename(options_.control_socket); !moved)
    return log_.error(moved.error().text);
  name_control();
}

void Arbiter::attend_control() {
  const std::int64_t now = base::monotonic_ns();
  if (!control_.is_open()) return;
  if (now >= control_due_ns_) {
    control_.cut_late(now);
    control_due_ns_ = now + kSecond;
  }
  wake_at(control_due_ns_);
}

void Arbiter::attend_profiler() {
  if (profiler_ == nullptr) return;
  const std::int64_t now = base::monotonic_ns();
  if (!control_.waits(profiler_->ticket())) {
    profiler_.reset();  // who wanted it has gone
  } else if (profiler_->over(now)) {
    const std::unique_ptr<Profiler> done = std::move(profiler_);  // the client may ask for another
    control_.answer(done->ticket(), done->answer(now), now);
  } else {
    wake_at(profiler_->turn(workers_, now));
  }
}

std::optional<std::string> Arbiter::on_control_request(ControlSocket::Ticket ticket,
                                                       std::string_view request) {
  return ControlAnswers(*this).answer(ticket, request);
}

}  // namespace tricorn::arbiter
