// Children that the application forks. Each has all that the worker has open: it gives the sockets
// back that the server listens on, or they would be in use as long as it lives, and those to the
// arbiter and the keeper, who would not see the worker's end; and it has a name of its own. One
// that comes back from the application would go on as a second worker that nobody knows of.
#pragma once

#include <vector>

#include "base/log.h"
#include "heartbeat/page.h"

namespace tricorn::worker {

/// From now on each forked child of this process has a page of its own in which the arbiter has
/// answered all requests and aborts the worker: whoever asks before it sends or goes on finds out,
/// at no cost to the worker. What a child inherits that never comes back stays as it is, except for
/// its name and `given_back`. Those that the application starts as programs are not concerned.
/// Once, before app threads.
/// @param page, log  for the life of the process
/// @param given_back  descriptors that a child does not keep
void mark_forked_copies(const heartbeat::Page& page, const base::Log& log,
                        std::vector<int> given_back);

/// In a forked child: says so, and ends it without a byte to any client. Elsewhere: nothing.
/// @param slot  of the calling app thread
void end_if_forked_copy(const heartbeat::Slot& slot);

/// Whether this process is such a copy. Any thread.
[[nodiscard]] bool is_forked_copy();

}  // namespace tricorn::worker
