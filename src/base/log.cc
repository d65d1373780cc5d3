#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace tricorn::base {
namespace {

constexpr std::array<const char*, 5> kNames{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

Result<UniqueFd> open_append(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno("'" + path + "' isn't writable", errno);
  return file;
}

// stderr may be a blocking pipe or terminal that others share, so O_NONBLOCK must not be set on it:
// poll says whether a write would block. Source: pipe(7), POLLOUT means PIPE_BUF bytes fit.
bool takes_bytes(int fd) {
  pollfd ready{fd, POLLOUT, 0};
  return ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
}

bool write_all(int fd, std::string_view bytes) {
  constexpr std::size_t kPipeAtomic = 4096;  // PIPE_BUF on Linux: pipe(7)
  while (!bytes.empty()) {
    if (!takes_bytes(fd)) return false;
    const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), kPipeAtomic));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Level level_from(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string_view candidate = kNames[i];
    if (candidate.size() == name.size() &&
        ::strncasecmp(candidate.data(), name.data(), name.size()) == 0) {
      return static_cast<Level>(i);
    }
  }
  return Level::Info;
}

std::string format_line(std::time_t wall, pid_t pid, Level level, std::string_view message) {
  std::tm local{};
  ::localtime_r(&wall, &local);
  char stamp[40];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S %z", &local);
  char prefix[96];
  std::snprintf(prefix, sizeof prefix, "[%s] [%d] [%s] ", stamp, pid,
                kNames[static_cast<std::size_t>(level)]);
  std::string line(prefix);
  line.append(message).push_back('\n');
  return line;
}

Result<void> Log::open(const std::string& path, Level threshold) {
  threshold_ = threshold;
  path_ = path;
  file_.reset();
  if (path_ == "-") return {};
  auto file = open_append(path_);
  if (!file) return Unexpected{file.error()};
  file_ = std::move(*file);
  return {};
}

Result<void> Log::reopen() {
  if (path_ == "-") return {};
  auto file = open_append(path_);
  if (!file) return Unexpected{file.error()};
  // dup3 keeps the number, so that children which share it by number follow.
  if (::dup3(file->get(), file_.get(), O_CLOEXEC) < 0)
    return fail_errno("dup3 of '" + path_ + "'", errno);
  return {};
}

void Log::write(Level level, std::string_view message) const {
  write_as(::getpid(), level, message);
}

void Log::write_as(pid_t pid, Level level, std::string_view message) const {
  if (!enabled(level)) return;
  if (const std::uint64_t lost = dropped_.exchange(0); lost != 0) {
    const std::string note = "Log reader too slow: " + std::to_string(lost) + " lines dropped";
    if (!write_all(fd(), format_line(std::time(nullptr), ::getpid(), Level::Warning, note)))
      dropped_ += lost;
  }
  if (!write_all(fd(), format_line(std::time(nullptr), pid, level, message))) ++dropped_;
}

void Log::write_raw(std::string_view bytes) const {
  if (!write_all(fd(), bytes)) ++dropped_;
}

}  // namespace tricorn::base
