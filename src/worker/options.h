// The settings a worker acts on.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "worker/worker.h"

namespace tricorn::worker {

/// Reads the settings as the arbiter resolved them (config::to_json).
/// @param age  the worker's number, which seeds its share of max_requests_jitter
/// @return Error naming the setting that is missing or of the wrong kind
[[nodiscard]] base::Result<Options> options_from_json(std::string_view json, std::uint32_t age);

}  // namespace tricorn::worker
