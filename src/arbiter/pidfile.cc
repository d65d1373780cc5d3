#include "arbiter/pidfile.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/unique_fd.h"

namespace tricorn::arbiter {
namespace {

// 0: no file, or nothing in it that is a pid.
pid_t pid_in(const std::string& path) {
  std::ifstream file(path);
  long pid = 0;
  return file >> pid && pid > 0 ? static_cast<pid_t>(pid) : 0;
}

// One that has ended and only waits to be waited for runs no more. Source: proc(5), stat.
bool alive(pid_t pid) {
  if (::kill(pid, 0) != 0 && errno != EPERM) return false;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string stat(std::istreambuf_iterator<char>(file), {});
  const std::size_t name_end = stat.rfind(") ");
  return name_end == std::string::npos || (stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X');
}

}  // namespace

Pidfile::~Pidfile() { remove(); }

base::Result<void> Pidfile::create(const std::string& path) {
  const pid_t other = pid_in(path);
  if (other != 0 && other != ::getpid() && alive(other)) {
    return base::fail(
        fmt::format("Already running on PID {} (or pid file '{}' is stale)", other, path));
  }
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  if (!folder.empty() && ::access(folder.c_str(), F_OK) != 0)
    return base::fail(
        fmt::format("{} doesn't exist. Can't create pidfile.",
                    folder.size() > 1 ? folder.substr(0, folder.size() - 1) : folder));
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

base::Result<void> Pidfile::move_to(const std::string& path) {
  if (path == path_) return {};
  if (path.empty()) return remove(), base::Result<void>{};
  const std::string before = path_;
  if (auto created = create(path); !created) return created;
  if (!before.empty()) ::unlink(before.c_str());
  return {};
}

void Pidfile::remove() {
  if (!path_.empty() && pid_in(path_) == ::getpid()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace tricorn::arbiter
