#include "net/outbound.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace tricorn::net {
base::Result<base::UniqueFd> connect_to(const Address& address, int type) {
  base::UniqueFd fd(::socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::fail_errno("socket", errno);
  const auto* to = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(fd.get(), to, address.length) != 0 && errno != EINPROGRESS)
    return base::fail_errno("connect", errno);
  return fd;
}

base::Result<Address> look_up(const std::string& host, const std::string& port, int type) {
  addrinfo wanted{};
  wanted.ai_socktype = type;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &found);
  if (failed != 0) return base::fail(host + ": " + ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  // The one of IPv4 first, if there is: who takes log lines seldom listens on ::1 only.
  const addrinfo* chosen = found;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET) continue;
    chosen = one;
    break;
  }
  Address address;
  address.length = chosen->ai_addrlen;
  std::memcpy(&address.storage, chosen->ai_addr, chosen->ai_addrlen);
  return address;
}

base::Result<base::UniqueFd> connect_unix(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return base::fail("'" + path + "' is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  Address to;
  to.length = sizeof address;
  std::memcpy(&to.storage, &address, sizeof address);
  auto fd = connect_to(to, type);
  if (!fd) return base::fail_errno("'" + path + "'", fd.error().code);
  return fd;
}

void split_host_port(const std::string& text, std::string& host, std::string& port) {
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.find(':', bracket == std::string::npos ? 0 : bracket);
  host = text.substr(0, colon);
  if (colon != std::string::npos && colon + 1 < text.size()) port = text.substr(colon + 1);
  if (bracket != std::string::npos && host.size() >= 2) host = host.substr(1, bracket - 1);
}

}  // namespace tricorn::net
