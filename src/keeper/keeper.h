// The keeper: a process that shares the worker's descriptor table and nothing else.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace tricorn::keeper {

/// User and group ids; -1 changes nothing.
struct Identity {
  std::int64_t user = -1;
  std::int64_t group = -1;
};

/// Starts the keeper of the calling worker. It is the arbiter's child, sleeps in recvmsg and does
/// what the arbiter tells it with the worker's descriptors, also after the worker was killed; it
/// leaves when told to or when the arbiter is gone. Call while the worker has one thread.
/// @param socket  the keeper's SEQPACKET end, which both processes see from now on
/// @param identity  whom the worker will run as, and so the keeper
/// @return the keeper's pid, or -1 with errno: the worker then works without, and a SIGKILL cuts
/// its clients. Source: clone(2) CLONE_FILES, CLONE_PARENT; docs/decisions/0003.
[[nodiscard]] pid_t start(int socket, Identity identity = {});

}  // namespace tricorn::keeper
