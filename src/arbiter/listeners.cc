#include "arbiter/listeners.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "net/address.h"

namespace tricorn::arbiter {
namespace {

constexpr std::string_view kDefaultPort = "8000";
constexpr int kPortMax = 65535;

struct HostPort {
  std::string host;
  std::string port;
};

HostPort split(std::string_view address) {
  if (address.rfind("tcp://", 0) == 0) address.remove_prefix(6);
  std::string_view host = address;
  std::string_view port = kDefaultPort;
  if (!address.empty() && address.front() == '[') {
    const std::size_t close = address.find(']');
    host = address.substr(1, close - 1);
    if (close != std::string_view::npos && close + 1 < address.size())
      port = address.substr(close + 2);
  } else if (const std::size_t colon = address.rfind(':'); colon != std::string_view::npos) {
    host = address.substr(0, colon);
    port = address.substr(colon + 1);
  }
  return {std::string(host.empty() ? "0.0.0.0" : host), std::string(port)};
}

std::string_view unix_path_of(std::string_view address) {
  if (address.rfind("unix:", 0) != 0) return {};
  address.remove_prefix(5);
  if (address.rfind("//", 0) == 0) address.remove_prefix(2);
  return address;
}

base::Result<void> listen_on(int fd, int backlog) {
  if (::listen(fd, backlog) != 0) return base::fail_errno("listen", errno);
  return {};
}

base::Result<BoundListener> bind_unix(const std::string& address, std::string_view path,
                                      const BindOptions& options) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path)
    return base::fail("bind: unix path empty or too long", EINVAL);
  std::memcpy(name.sun_path, path.data(), path.size());
  auto length = static_cast<socklen_t>(sizeof name);
  const bool abstract = path.front() == '@';
  if (abstract) {  // Source: unix(7): a zero byte, and the length ends the name
    name.sun_path[0] = '\0';
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  }
  struct stat status {};
  if (!abstract && ::stat(name.sun_path, &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return base::fail(fmt::format("{} is not a socket", path), EINVAL);
    ::unlink(name.sun_path);
  }
  BoundListener listener;
  listener.fd.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd.valid()) return base::fail_errno("socket", errno);
  const mode_t before = ::umask(options.umask);
  const int bound = ::bind(listener.fd.get(), reinterpret_cast<sockaddr*>(&name), length);
  const int refused = errno;
  ::umask(before);
  if (bound != 0) return base::fail_errno(std::string(path), refused);
  if (auto listening = listen_on(listener.fd.get(), options.backlog); !listening)
    return base::Unexpected{listening.error()};
  listener.address = address;
  if (!abstract) listener.unix_path = path;
  listener.name = fmt::format("unix:{}", path);
  return listener;
}

std::string display_name(int fd) {
  const net::Endpoint endpoint = net::local_endpoint(fd);
  if (endpoint.family == AF_UNIX) return "unix:" + endpoint.host;
  if (endpoint.family == AF_INET6)
    return fmt::format("http://[{}]:{}", endpoint.host, endpoint.port);
  return fmt::format("http://{}:{}", endpoint.host, endpoint.port);
}

base::Result<BoundListener> adopt_number(const std::string& address, std::string_view number) {
  int fd = -1;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (parsed.ec != std::errc{} || parsed.ptr != number.data() + number.size()) {
    return base::fail(fmt::format("bind: {} names no descriptor", address), EINVAL);
  }
  // The number stays ours, for a reload that binds again; our children get what they need by name.
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  auto adopted = adopt_listener(base::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  if (!adopted) return base::fail(fmt::format("{}: {}", address, adopted.error().text), EINVAL);
  adopted->address = address;
  adopted->unix_path.clear();  // whoever bound it unlinks it
  return adopted;
}

base::Result<BoundListener> bind_tcp(const std::string& address, const BindOptions& options) {
  const HostPort where = split(address);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found);
      failed != 0) {
    return base::fail(fmt::format("{}: {}", address, ::gai_strerror(failed)), failed);
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  BoundListener listener;
  listener.fd.reset(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd.valid()) return base::fail_errno("socket", errno);
  const int on = 1;
  ::setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (options.reuse_port &&
      ::setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    return base::fail_errno(address + ": SO_REUSEPORT", errno);
  }
  if (::bind(listener.fd.get(), found->ai_addr, found->ai_addrlen) != 0)
    return base::fail_errno(address, errno);
  if (auto listening = listen_on(listener.fd.get(), options.backlog); !listening)
    return base::Unexpected{listening.error()};
  listener.address = address;
  listener.name = display_name(listener.fd.get());
  return listener;
}

}  // namespace

base::Result<BoundListener> bind_listener(const std::string& address, const BindOptions& options) {
  if (address.rfind("unix:", 0) == 0) return bind_unix(address, unix_path_of(address), options);
  if (address.rfind("fd://", 0) == 0)
    return adopt_number(address, std::string_view(address).substr(5));
  return bind_tcp(address, options);
}

std::vector<std::string> names_of(const std::vector<BoundListener>& listeners) {
  std::vector<std::string> names;
  for (const BoundListener& listener : listeners) names.push_back(listener.name);
  return names;
}

BoundListener duplicate(const BoundListener& listener) {
  return {base::UniqueFd(::fcntl(listener.fd.get(), F_DUPFD_CLOEXEC, 0)), listener.address,
          listener.name, listener.unix_path};
}

base::Result<BoundListener> adopt_listener(base::UniqueFd socket) {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    return base::fail(fmt::format("descriptor {} is no listening socket", socket.get()), EINVAL);
  }
  ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  BoundListener listener;
  const net::Endpoint endpoint = net::local_endpoint(socket.get());
  if (endpoint.family == AF_UNIX && endpoint.host.rfind('@', 0) != 0)
    listener.unix_path = endpoint.host;
  listener.fd = std::move(socket);
  listener.name = display_name(listener.fd.get());
  // As --bind would most likely have it, so that a reload finds it again.
  const bool tcp = listener.name.rfind("http://", 0) == 0;
  listener.address = tcp ? listener.name.substr(7) : listener.name;
  return listener;
}

std::optional<std::string> address_fault(const std::string& address) {
  if (address.rfind("unix:", 0) == 0 || address.rfind("fd://", 0) == 0) return std::nullopt;
  const bool unclosed =
      address.find('[') != std::string::npos && address.find(']') == std::string::npos;
  const std::string port = unclosed ? "" : split(address).port;
  int number = -1;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size())
    return fmt::format("'{}' is not a valid port number.", port);
  if (number < 0 || number > kPortMax)
    return fmt::format("'{}' is not a valid port number: it must be 0-{}.", port, kPortMax);
  return std::nullopt;
}

std::string python_style(const std::string& address) {
  if (address.rfind("unix:", 0) == 0) return std::string(unix_path_of(address));
  const HostPort where = split(address);
  return fmt::format("('{}', {})", where.host, where.port);
}

}  // namespace tricorn::arbiter
