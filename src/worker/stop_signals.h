// TERM, INT, QUIT and USR1 as the worker sees them: a flag and a byte, all work is done elsewhere.
#pragma once

#include <atomic>
#include <cstdint>

#include "net/poller.h"

namespace tricorn::worker {

/// Which signals came since the last take.
struct StopSignals {
  bool graceful = false;  ///< TERM
  bool quick = false;     ///< INT or QUIT
  bool reopen = false;    ///< USR1
};

/// Installs the handlers of a worker; HUP, USR2 and WINCH are ignored (the arbiter's affair).
/// Python's own handler for INT runs too, if boot installed one. One worker a process.
/// @param sender  takes the pid of who sent the first one; lives for ever
void install_stop_handlers(std::atomic<std::int32_t>& sender);

/// What rings when a signal came; made at the first call, lives for ever.
[[nodiscard]] const net::Wakeup& stop_signal_bell();

/// Takes what came. Any thread.
[[nodiscard]] StopSignals take_stop_signals();

}  // namespace tricorn::worker
