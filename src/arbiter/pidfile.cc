#include "arbiter/pidfile.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/unique_fd.h"

namespace tricorn::arbiter {
namespace {

// 0: no file, or nothing in it that is a pid.
pid_t pid_in(const std::string& path) {
  std::ifstream file(path);
  long pid = 0;
  return file >> pid && pid > 0 ? static_cast<pid_t>(pid) : 0;
}

bool alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

}  // namespace

Pidfile::~Pidfile() { remove(); }

base::Result<void> Pidfile::create(const std::string& path) {
  const pid_t other = pid_in(path);
  if (other != 0 && other != ::getpid() && alive(other)) {
    return base::fail(
        fmt::format("Already running on PID {} (or pid file '{}' is stale)", other, path));
  }
  std::string temporary = path + ".XXXXXX";
  const base::UniqueFd file(::mkstemp(temporary.data()));
  if (!file.valid()) return base::fail_errno(fmt::format("pidfile '{}'", path), errno);
  const std::string text = std::to_string(::getpid()) + "\n";
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fchmod(file.get(), 0644) == 0 && ::rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) {
    const int refused = errno;
    ::unlink(temporary.c_str());
    return base::fail_errno(fmt::format("pidfile '{}'", path), refused);
  }
  path_ = path;
  return {};
}

void Pidfile::remove() {
  if (!path_.empty() && pid_in(path_) == ::getpid()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace tricorn::arbiter
