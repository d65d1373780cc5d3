#include "arbiter/control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace tricorn::arbiter {
namespace {

constexpr int kBacklog = 16;

base::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return base::fail(fmt::format("control socket '{}': a path of 1 to {} bytes is needed", path,
                                  sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

base::UniqueFd make_socket() {
  return base::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// A full backlog is somebody's too: only a refusal says that nobody is there. Source: unix(7)
bool is_deserted(const sockaddr_un& address) {
  const base::UniqueFd probe = make_socket();
  return ::connect(probe.get(), generic(address), sizeof address) != 0 && errno == ECONNREFUSED;
}

bool leads_nowhere(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode) &&
         ::stat(path.c_str(), &status) != 0 && errno == ENOENT;
}

// Only the owner and root: the file's mode says so too, but not on every file system.
bool may_ask(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == ::geteuid() || peer.uid == 0);
}

// Before there is a client: what the socket does not take at once is lost.
void refuse(int fd, std::string_view words) {
  const std::string line = control_error(words) + "\n";
  static_cast<void>(::send(fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

}  // namespace

std::string control_error(std::string_view words) {
  using Json = nlohmann::ordered_json;
  return Json{{"v", 1}, {"ok", false}, {"error", words}}.dump(-1, ' ', false,
                                                              Json::error_handler_t::replace);
}

ControlSocket::ControlSocket(const net::Poller& poller, std::function<std::uint64_t(int)> listening,
                             std::function<std::uint64_t(int)> talking, Handler handler)
    : poller_(poller),
      listening_(std::move(listening)),
      talking_(std::move(talking)),
      handler_(std::move(handler)) {}

ControlSocket::~ControlSocket() { close(); }

base::Result<void> ControlSocket::open(const std::string& path, mode_t mode) {
  auto address = address_of(path);
  if (!address) return base::Unexpected{address.error()};
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return base::fail(fmt::format("control socket '{}': the file there is no socket", path));
    if (!is_deserted(*address))
      return base::fail(fmt::format("control socket '{}': in use by another server", path),
                        EADDRINUSE);
    ::unlink(path.c_str());
  }
  base::UniqueFd listener = make_socket();
  const mode_t before = ::umask(0777 & ~mode);  // bind(2) makes the file: no moment of another mode
  const int bound = ::bind(listener.get(), generic(*address), sizeof *address);
  const int code = errno;
  ::umask(before);
  if (bound != 0) return base::fail_errno(fmt::format("control socket '{}'", path), code);
  if (::listen(listener.get(), kBacklog) != 0 || ::lstat(path.c_str(), &status) != 0)
    return base::fail_errno(fmt::format("control socket '{}'", path), errno);
  close();
  listener_ = std::move(listener);
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
  poller_.add(listener_.get(), EPOLLIN, listening_(listener_.get()));
  return {};
}

void ControlSocket::remove_deserted(const std::string& path) {
  const auto address = address_of(path);
  if (address && (leads_nowhere(path) || is_deserted(*address))) ::unlink(path.c_str());
}

base::Result<void> ControlSocket::rename(const std::string& path) {
  if (auto address = address_of(path); !address) return base::Unexpected{address.error()};
  if (::rename(path_.c_str(), path.c_str()) != 0)
    return base::fail_errno(fmt::format("control socket '{}'", path), errno);
  path_ = path;
  return {};
}

void ControlSocket::close() {
  clients_.clear();
  if (!listener_.valid()) return;
  struct stat status {};
  const bool ours =
      ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
  if (ours) ::unlink(path_.c_str());
  listener_.reset();
}

void ControlSocket::on_connection(std::int64_t now_ns) {
  for (;;) {
    base::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return;
    if (!may_ask(fd.get())) {
      refuse(fd.get(), fmt::format("only uid {} and root may ask", ::geteuid()));
      continue;
    }
    if (clients_.size() >= kControlClientsMax) {
      refuse(fd.get(), fmt::format("{} clients are connected, come again", kControlClientsMax));
      continue;
    }
    const int number = fd.get();
    Client& client = clients_[number];
    client.fd = std::move(fd);
    client.since_ns = now_ns;
    poller_.add(number, EPOLLIN, talking_(number));
  }
}

void ControlSocket::on_client(int fd, std::uint32_t events, std::int64_t now_ns) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  Client& client = found->second;
  bool stays = (events & EPOLLERR) == 0;
  if (stays && client.asks_for_output) stays = send(client, now_ns);
  if (stays && (events & (EPOLLIN | EPOLLHUP)) != 0) stays = read(client, now_ns);
  if (!stays) clients_.erase(found);
}

// @return false: the client goes
bool ControlSocket::read(Client& client, std::int64_t now_ns) {
  if (client.in.size() >= kControlRequestMax) return false;  // it asks on without taking answers
  std::array<char, kControlRequestMax> buffer;
  const ssize_t count =
      ::recv(client.fd.get(), buffer.data(), buffer.size() - client.in.size(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (count > 0) {
    client.since_ns = now_ns;
    client.in.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return take_request(client, now_ns);
}

// The next request of the same client is taken when this one is answered.
bool ControlSocket::take_request(Client& client, std::int64_t now_ns) {
  while (client.asked == 0) {
    const std::size_t end = client.in.find('\n');
    if (end == std::string::npos) {
      if (client.in.size() < kControlRequestMax) return true;
      refuse(client.fd.get(), fmt::format("a request has {} bytes at most", kControlRequestMax));
      return false;
    }
    const std::string line = client.in.substr(0, end);
    client.in.erase(0, end + 1);
    client.asked = ++last_ticket_;
    if (auto answered = handler_(client.asked, line)) {
      put(client, std::move(*answered), now_ns);
      if (!send(client, now_ns)) return false;
    }
  }
  return true;
}

void ControlSocket::put(Client& client, std::string line, std::int64_t now_ns) {
  if (line.size() >= kControlAnswerMax) {
    line = control_error(
        fmt::format("the answer has more than {} bytes; ask about one worker", kControlAnswerMax));
  }
  client.out = std::move(line) + "\n";
  client.sent = 0;
  client.since_ns = now_ns;
}

// @return false: the client goes
bool ControlSocket::send(Client& client, std::int64_t now_ns) {
  while (client.sent < client.out.size()) {
    const ssize_t count = ::send(client.fd.get(), client.out.data() + client.sent,
                                 client.out.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      await(client, true);
      return true;
    }
    if (count < 0) return false;
    client.sent += static_cast<std::size_t>(count);
    client.since_ns = now_ns;
  }
  if (client.out.empty()) return true;
  client.out = {};
  client.sent = 0;
  client.asked = 0;
  await(client, false);
  return true;
}

// While an answer waits to be taken, the next request waits in the kernel.
void ControlSocket::await(Client& client, bool output) {
  if (client.asks_for_output == output) return;
  client.asks_for_output = output;
  poller_.remove(client.fd.get());
  poller_.add(client.fd.get(), output ? EPOLLOUT : EPOLLIN, talking_(client.fd.get()));
}

void ControlSocket::answer(Ticket ticket, std::string line, std::int64_t now_ns) {
  for (auto& [fd, client] : clients_) {
    if (client.asked != ticket) continue;
    put(client, std::move(line), now_ns);
    const bool stays = send(client, now_ns) && take_request(client, now_ns);
    if (!stays) clients_.erase(fd);
    return;
  }
}

bool ControlSocket::waits(Ticket ticket) const {
  return std::any_of(clients_.begin(), clients_.end(),
                     [ticket](const auto& entry) { return entry.second.asked == ticket; });
}

void ControlSocket::cut_late(std::int64_t now_ns) {
  std::erase_if(clients_, [now_ns](const auto& entry) {
    const Client& client = entry.second;
    const std::int64_t silent = now_ns - client.since_ns;
    if (!client.out.empty()) return silent > kControlStuckNs;
    return client.asked == 0 && silent > kControlIdleNs;
  });
}

}  // namespace tricorn::arbiter
