// Messages between the arbiter and one worker, and between the arbiter and that worker's keeper.
// Both are unix SOCK_SEQPACKET pairs: one message is one datagram, descriptors ride along
// (SCM_RIGHTS).
//
//   arbiter ──control──▶ worker   Go, Drain, Adopt+fd, ReopenLogs, …   (read by the sentinel: no
//   GIL) worker  ──control──▶ arbiter  Hello, Ready, Crashed, Leaving arbiter ──keeper───▶ keeper
//   Answer, HandOver, Close, Leave keeper  ──keeper───▶ arbiter  Done [+fd]
//
// A client connection that goes to another worker (GiveAway, Offer, Adopt) is between two requests.
// If not, the payload is what was read of one that no application has seen: as if it were unread.
//
// Two arbiters during an upgrade have such a pair as well: GiveAway+fd and Look, both ways.
//
// The keeper is a tiny process that shares the worker's descriptor table (clone CLONE_FILES) and
// nothing else. Whatever happens to the worker (SIGKILL, OOM, SIGSTOP, SEGV, GIL held), its client
// sockets stay open in the keeper, which answers them as the arbiter says: docs/decisions/0003.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"

namespace tricorn::heartbeat {

enum class Verb : std::uint32_t {
  // worker -> arbiter
  Hello =
      1,  ///< number = pid (the kernel's credentials are what counts); sent before anything else
  Ready = 2,  ///< the application is loaded, connections are accepted
  Crashed =
      3,  ///< it dies: Header::crash is filled, or exit_tid is inside os._exit; it waits for Go
  GiveAway = 5,  ///< a client connection (fd rides along) for another worker: this one drains
  Offer = 6,     ///< a client connection (fd rides along) has something to read, and no thread
                 ///< here is free; it comes back when nobody's is
  Backlog = 7,   ///< it stopped accepting with connections in the backlog: the others shall look
  Told = 8,      ///< it ended a request by itself: worker/notices.h
  Leaving = 4,   ///< drains by its own decision; text = "max_requests"
  // arbiter -> worker
  Go = 16,     ///< introduced: boot; after Crashed: looked at, die
  Drain = 17,  ///< stop accepting, finish what is held, exit
  Adopt = 18,  ///< take this client connection (fd rides along) as freshly accepted; number 1: it
               ///< was offered and nobody else has a thread free
  ReopenLogs = 19,
  Look = 20,        ///< connections may wait in the backlog that nobody was woken for
  Interrupt = 21,   ///< number = app thread, payload = Slot::request_id (4 bytes): end that request
  Release = 22,     ///< number = fd; the keeper has answered on it and ended it: it may be closed
  OfferAgain = 23,  ///< number = threads that are free elsewhere now, for offers that came back
  // arbiter -> keeper
  Answer =
      32,  ///< number = fd; write the payload to it if not empty, then end the connection properly
  HandOver = 33,  ///< number = fd; send it back with Done
  /// number = fd, payload = where its answer begins and ends (AnswerMarks, 8 bytes each), then
  /// another answer: send it back when the kernel has all of its own, else write the other one if
  /// it has nothing of it, and end it
  Settle = 35,
  Leave = 34,  ///< exit: closes everything the worker had
  // keeper -> arbiter
  Done = 48,  ///< number = fd; the descriptor rides along when it is sent back
};

/// Longest payload of a message: a whole HTTP answer.
inline constexpr std::size_t kPayloadMax = 4096;

/// One message. On the wire: verb, number, then `bytes` bytes of payload.
struct Message {
  Verb verb{};
  std::int32_t number = 0;
  std::uint32_t bytes = 0;
  char payload[kPayloadMax];
};

enum class Received { Message, Nothing, Closed };

/// Sends one message. Async-signal-safe; no allocation.
/// @param fd_to_pass  -1 for none; stays the caller's
/// @param flags  of sendmsg, e.g. MSG_DONTWAIT
/// @return false with errno (EAGAIN: the peer does not read; EPIPE: it is gone)
[[nodiscard]] bool send_message(int socket, Verb verb, std::int32_t number, const char* payload,
                                std::size_t bytes, int fd_to_pass, int flags);

/// Receives one message. Async-signal-safe; no allocation.
/// @param passed  takes the descriptor that rode along, if any
/// @param flags  of recvmsg, e.g. MSG_DONTWAIT
[[nodiscard]] Received receive_message(int socket, Message& message, base::UniqueFd& passed,
                                       int flags);

/// A connected SEQPACKET pair, both ends CLOEXEC. @return false with errno.
[[nodiscard]] bool socket_pair(base::UniqueFd& ours, base::UniqueFd& theirs);

}  // namespace tricorn::heartbeat
