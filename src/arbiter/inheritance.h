// What a server gets from whoever started it: listening sockets of a service manager, or all that
// an arbiter hands to its successor on USR2. Source: gunicorn.md section 2; sd_listen_fds(3).
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"

namespace tricorn::arbiter {

/// First descriptor that is passed on, by us and by a service manager. Source: sd_listen_fds(3).
inline constexpr int kFirstInheritedFd = 3;

/// Names of the environment variables; the first four are Gunicorn's and systemd's.
inline constexpr const char* kOldArbiterVariable = "GUNICORN_PID";
inline constexpr const char* kListenersVariable = "GUNICORN_FD";
inline constexpr const char* kManagedPidVariable = "LISTEN_PID";
inline constexpr const char* kManagedCountVariable = "LISTEN_FDS";
inline constexpr const char* kOtherArbiterVariable = "TRICORN_PEER_FD";

struct Inheritance {
  pid_t old_arbiter = 0;   ///< the arbiter we are to replace, 0: none
  std::vector<int> fds;    ///< listening sockets; the caller owns them
  bool managed = false;    ///< they are a service manager's, never to be unlinked
  int other_arbiter = -1;  ///< channel to the old arbiter; the caller owns it
};

/// Takes it out of the environment: what is for us is removed from there, so that our children do
/// not take it for theirs. GUNICORN_PID stays, as in Gunicorn, until we are promoted.
/// @return Error naming the variable that makes no sense
[[nodiscard]] base::Result<Inheritance> take_inheritance();

}  // namespace tricorn::arbiter
