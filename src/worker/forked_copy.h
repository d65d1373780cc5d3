// A copy of the worker that the application has forked, and that comes back from the application:
// it has the worker's sockets and its epoll, and would go on as a second worker that nobody knows
// of.
#pragma once

#include "base/log.h"
#include "heartbeat/page.h"

namespace tricorn::worker {

/// From now on each forked child of this process has a page of its own in which the arbiter has
/// answered all requests and aborts the worker: whoever asks before it sends or goes on finds out,
/// at no cost to the worker. A child that never comes back is not touched. Once, before app
/// threads.
/// @param page, log  for the life of the process
void mark_forked_copies(const heartbeat::Page& page, const base::Log& log);

/// In a forked child: says so, and ends it without a byte to any client. Elsewhere: nothing.
/// @param slot  of the calling app thread
void end_if_forked_copy(const heartbeat::Slot& slot);

/// Whether this process is such a copy. Any thread.
[[nodiscard]] bool is_forked_copy();

}  // namespace tricorn::worker
