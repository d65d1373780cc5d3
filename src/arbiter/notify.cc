#include "arbiter/notify.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.h"

namespace tricorn::arbiter {
namespace {

std::int64_t number_of(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : std::strtoll(value, nullptr, 10);
}

}  // namespace

void Notifier::open(int old_arbiter) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  path_ = path;
  const std::int64_t watched = number_of("WATCHDOG_PID");
  if (watched == 0 || watched == ::getpid() || (old_arbiter != 0 && watched == old_arbiter))
    period_ns_ = number_of("WATCHDOG_USEC") * 1000 / 2;
}

void Notifier::tell(std::string_view message) const {
  sockaddr_un name{};
  if (!enabled() || path_.size() >= sizeof name.sun_path) return;
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path_.data(), path_.size());
  if (path_[0] == '@') name.sun_path[0] = '\0';
  const base::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
           reinterpret_cast<sockaddr*>(&name), length);
}

void Notifier::tell_reloading(std::int64_t now_ns) const {
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", now_ns / 1000));
}

std::int64_t Notifier::beat(std::int64_t now_ns) {
  if (period_ns_ == 0) return INT64_MAX;
  if (now_ns >= next_ns_) {
    tell("WATCHDOG=1");
    next_ns_ = now_ns + period_ns_;
  }
  return next_ns_;
}

}  // namespace tricorn::arbiter
