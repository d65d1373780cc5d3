#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

namespace tricorn::net {

Endpoint endpoint_of(const sockaddr_storage& address, socklen_t length) {
  Endpoint endpoint;
  endpoint.family = address.ss_family;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    endpoint.host = ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    endpoint.port = ntohs(in.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    endpoint.host = ::inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
    endpoint.port = ntohs(in6.sin6_port);
  } else if (address.ss_family == AF_UNIX && length > offsetof(sockaddr_un, sun_path)) {
    const auto& un = reinterpret_cast<const sockaddr_un&>(address);
    const std::size_t bytes = length - offsetof(sockaddr_un, sun_path);
    if (un.sun_path[0] == '\0') {  // abstract: unix(7)
      endpoint.host.assign("@").append(un.sun_path + 1, bytes - 1);
    } else {
      endpoint.host.assign(un.sun_path, ::strnlen(un.sun_path, bytes));
    }
  }
  return endpoint;
}

Endpoint local_endpoint(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return endpoint_of(address, length);
}

}  // namespace tricorn::net
