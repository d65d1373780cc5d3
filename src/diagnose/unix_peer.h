// The far end of a unix socket: /proc shows only the near one, sock_diag knows both.
#pragma once

#include <cstdint>
#include <string>

namespace tricorn::diagnose {

/// Where a unix socket leads to.
struct UnixPeer {
  std::string path;         ///< it is bound to, "@name" for an abstract one; empty: no name
  std::uint32_t inode = 0;  ///< 0: not known, or nobody has accepted it yet
};

/// The far end of the unix socket `inode`; of a listener, while nobody has accepted the connection.
/// Asks the kernel of our own network namespace. @return empty fields: not readable.
/// Source: sock_diag(7)
[[nodiscard]] UnixPeer unix_peer(std::uint64_t inode);

}  // namespace tricorn::diagnose
