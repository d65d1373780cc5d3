// Ends one request from inside its worker: what --request-timeout asks for.
#pragma once

#include <cstdint>

#include "heartbeat/page.h"

namespace tricorn::worker {

/// Raises pyapi::interruption_type() in the app thread of `slot`, if it still runs request
/// `request_id`. Returns at once, any thread, without the GIL: a thread of its own waits for that,
/// maybe for ever.
/// @param slot  outlives the process's Python
void interrupt_request(const heartbeat::Slot& slot, std::uint32_t request_id);

}  // namespace tricorn::worker
