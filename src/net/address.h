// Socket addresses as text.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace tricorn::net {

/// One end of a connection.
struct Endpoint {
  std::string host;        ///< "127.0.0.1", "::1"; the path for a unix socket, "@name"
                           ///< in the abstract namespace, empty when it has none
  std::uint16_t port = 0;  ///< 0 for a unix socket
  int family = 0;          ///< AF_INET, AF_INET6, AF_UNIX
};

/// Reads a kernel address. An IPv4-mapped IPv6 address stays as the kernel gave it, as in Gunicorn.
[[nodiscard]] Endpoint endpoint_of(const sockaddr_storage& address, socklen_t length);

/// The address `socket` is bound to; family 0 when the kernel refuses.
[[nodiscard]] Endpoint local_endpoint(int socket);

}  // namespace tricorn::net
