// One client connection.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "heartbeat/recorder.h"
#include "http/proxy_header.h"
#include "net/deadlines.h"

namespace tricorn::worker {

class Exchange;

/// Where a connection is.
///
///   Idle --bytes--> Reading --whole request--> Ready --thread--> Running --answered--> Idle |
///   Reading | Ready
///                      |                                            |
///                      +--refused--> Flushing <--client is slow-----+
///                                       +--all sent--> Idle | Lingering --> (closed)
enum class State : std::uint8_t {
  Closed,
  Idle,       ///< between requests
  Reading,    ///< part of a request is here
  Ready,      ///< a whole request waits for an app thread
  Running,    ///< an app thread has it: nobody else touches the connection
  Flushing,   ///< the application is done, the client still takes its bytes
  Lingering,  ///< we have ended the response and wait for the client to close, so that it reads it
};

/// Who is done with a descriptor on which the keeper answers in our place. It stays open until both
/// are: else the next client could get its number, and this one's answer.
enum class Parting : std::uint8_t {
  None,    ///< the keeper has nothing to do with it
  Loop,    ///< its request has ended, the keeper may not have written yet
  Keeper,  ///< the keeper has ended it, an app thread still has it
};

struct Connection {
  net::Deadline deadline;  ///< first member: the loop finds the connection by it
  int fd = -1;
  std::uint32_t generation = 0;  ///< counts the uses of this object, so that a stale event is known
  State state = State::Closed;
  bool readable =
      false;             ///< an edge arrived while the application ran: read before waiting for one
  bool hung_up = false;  ///< the client closed its side or reset
  Parting parting = Parting::None;
  std::uint8_t listener = 0;
  std::uint32_t served = 0;
  std::uint64_t written = 0;  ///< bytes given to the socket in all
  heartbeat::Client client;
  std::atomic<heartbeat::Hold>* hold = nullptr;  ///< its place in the page; set while open
  PyObject* remote_addr = nullptr;               ///< str, made at the first request; owned
  PyObject* remote_port = nullptr;
  Exchange* exchange = nullptr;  ///< null while Idle
  bool trusted = false;          ///< its peer is in forwarded_allow_ips
  bool proxy_due = false;        ///< a PROXY header may still come
  bool corked = false;           ///< its last answer may wait in the kernel for the next one
  bool may_wait = false;         ///< others are served next: its answer may wait for theirs
  bool came_back = false;        ///< was offered to other workers in vain since its last answer
  /// The ends that a PROXY header told; `client` is its source then.
  std::unique_ptr<http::ProxyHeader> proxied;
};

}  // namespace tricorn::worker
