// Which other Python thread of the worker does what the serving thread waits to be done. Read from
// the frames' own variables, as python_waits.h does; every pointer is taken as possibly wrong.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// The thread that does what another one waits to be done.
struct Doer {
  ThreadLook thread;
  /// The package whose code both run: it is the package's own thread that works for the waiting
  /// one, as far as their stacks tell. Empty: the objects tell it.
  std::string package;
};

/// The thread that does what the first one of `threads` waits to be done: it joins that thread, or
/// waits for the future that the thread, or a coroutine in its event loop, works on, or for the
/// job of a pool. That one may wait for a further one in its turn: the last is given, with the
/// stack of that coroutine. Nothing: there is none, or it cannot be told which.
/// @param asked  the stack, of those that wait in this row, that is the nearest to the last with
/// code of the application; or that of the coroutine that the first thread works for, as asgiref
/// has it do
[[nodiscard]] std::optional<Doer> read_delegate(const Memory& memory,
                                                const TricornPythonLayout& layout,
                                                const std::vector<ThreadLook>& threads,
                                                std::vector<PythonFrame>& asked);

}  // namespace tricorn::diagnose
