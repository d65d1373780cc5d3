// The one place that forks a Python process.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace tricorn::spawner {

/// Forks a worker that is nobody's child but the arbiter's: a middle process forks it and leaves at
/// once, and the orphan goes to the nearest subreaper, the arbiter. Runs CPython's fork handlers.
/// The caller holds the GIL and is the spawner's only thread.
/// @return 0 in the worker, its pid in the spawner; an Error with errno when the kernel refuses.
/// Source: PR_SET_CHILD_SUBREAPER in prctl(2); docs/decisions/0001.
[[nodiscard]] base::Result<pid_t> fork_worker();

}  // namespace tricorn::spawner
