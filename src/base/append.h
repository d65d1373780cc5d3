// Files that grow at their end, by several processes: logs and reports.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/unique_fd.h"

namespace tricorn::base {

/// Opens a file for appending, made when it is not there. Neither waits for a reader of a FIFO nor
/// needs one: what is written before one comes stays in the FIFO, as far as it holds it.
/// @return invalid with errno
[[nodiscard]] UniqueFd open_to_append(const std::string& path, mode_t mode);

}  // namespace tricorn::base
