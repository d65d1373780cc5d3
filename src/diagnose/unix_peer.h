// The far end of a unix socket: /proc shows only the near one, sock_diag knows both.
#pragma once

#include <cstdint>
#include <string>

namespace tricorn::diagnose {

/// Path the peer of the unix socket `inode` is bound to, "@name" for an abstract one.
/// Asks the kernel of our own network namespace. @return empty: no name, or not readable.
/// Source: sock_diag(7)
[[nodiscard]] std::string unix_peer_path(std::uint64_t inode);

}  // namespace tricorn::diagnose
