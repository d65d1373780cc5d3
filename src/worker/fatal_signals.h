// The worker's last words: what happens between a fatal signal and the death it brings.
#pragma once

#include <csignal>
#include <initializer_list>

#include "heartbeat/page.h"

namespace tricorn::worker {

/// What a thread is sent for what it does itself.
inline constexpr std::initializer_list<int> kFatalSignals = {SIGSEGV, SIGBUS, SIGILL, SIGFPE,
                                                             SIGABRT};

/// Installs handlers for SEGV, BUS, ILL, FPE and ABRT on alternate stacks. A handler fills
/// Header::crash, tells the arbiter (Verb::Crashed), waits at most a second while the arbiter reads
/// this process from outside, then lets the signal take its default course (core dump included).
/// A SIGABRT the arbiter has announced (Header::abort_asked) goes to Python's handler instead.
/// Replaces Python's faulthandler if that was on. One worker a process.
/// @param control  the worker's SEQPACKET end; the reply is read by whoever reads control
void install_fatal_handlers(heartbeat::Header& header, int control);

/// os._exit is being called by thread `tid`: notes it in the page and lets the arbiter look at the
/// stack before the process is gone. Returns within a second. GIL held or not.
void announce_exit(heartbeat::Header& header, int control, int status, int tid);

/// Gives the calling thread an alternate signal stack, so that an overflow of its own can be
/// reported. Never freed: a thread of a worker lives as long as the worker.
void use_alternate_stack();

/// Called by whoever reads control when the arbiter answers Crashed with Go.
void release_crashed_thread();

}  // namespace tricorn::worker
