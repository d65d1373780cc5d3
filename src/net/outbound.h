// Sockets of our own to somebody who takes lines or metrics. None of them ever waits.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::net {

/// Where a host's port is.
struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

/// Looks the name up, which may take a while; numbers and names of /etc/hosts do not.
base::Result<Address> look_up(const std::string& host, const std::string& port, int type);

/// A non-blocking socket connected there, or on its way (SOCK_STREAM).
base::Result<base::UniqueFd> connect_to(const Address& address, int type);

/// The same for a unix socket's path.
base::Result<base::UniqueFd> connect_unix(const std::string& path, int type);

/// Splits "HOST:PORT" or "[V6]:PORT". @param port  the default when there is none
void split_host_port(const std::string& text, std::string& host, std::string& port);

}  // namespace tricorn::net
