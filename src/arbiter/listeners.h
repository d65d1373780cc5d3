// The sockets clients connect to.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::arbiter {

/// One bound, listening socket.
struct BoundListener {
  base::UniqueFd fd;
  std::string address;    ///< as the user wrote it
  std::string name;       ///< as logged: "http://127.0.0.1:8000", "unix:/run/x.sock"
  std::string unix_path;  ///< to unlink at the end; empty for TCP and inherited sockets
};

/// So many travel with one message to the spawner. Source: spawner_client.cc, wire.py.
inline constexpr std::size_t kListenersMax = 60;

struct BindOptions {
  int backlog = 2048;
  unsigned umask = 0;       ///< of unix sockets
  bool reuse_port = false;  ///< other servers may listen on the same address (SO_REUSEPORT)
};

/// Binds and listens. A stale unix socket is replaced, any other file is left alone.
/// @param address  HOST, HOST:PORT, [V6]:PORT, :PORT, unix:PATH, unix://PATH, tcp://HOST:PORT,
/// fd://N; unix:@NAME is a socket in the abstract namespace
/// @return Error with errno: EADDRINUSE may be tried again. Source: gunicorn.md section 1, bind.
[[nodiscard]] base::Result<BoundListener> bind_listener(const std::string& address,
                                                        const BindOptions& options);

[[nodiscard]] std::vector<std::string> names_of(const std::vector<BoundListener>& listeners);

/// The same socket once more. @return a listener without a descriptor when the system refuses
[[nodiscard]] BoundListener duplicate(const BoundListener& listener);

/// Takes a listening socket that was passed on to us, whatever it is bound to.
/// @return Error when it is none
[[nodiscard]] base::Result<BoundListener> adopt_listener(base::UniqueFd socket);

/// What is wrong with the way an address is written; nothing: it can be tried.
[[nodiscard]] std::optional<std::string> address_fault(const std::string& address);

/// How Gunicorn's messages show an address: "('127.0.0.1', 8000)" or the path.
[[nodiscard]] std::string python_style(const std::string& address);

}  // namespace tricorn::arbiter
