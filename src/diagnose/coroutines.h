// What an asyncio event loop's coroutines wait for. One that is suspended is on no thread's stack:
// its frames are found from the task that the loop runs, link by link, in the other process's
// memory. Every pointer is taken as possibly wrong, as in python_stack.h.
#pragma once

#include <cstdint>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/python_objects.h"
#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// Puts the frames of the coroutines that the thread's event loop runs in the place of the loop's
/// own inner ones, innermost first, so that the stack reads as if each `await` were a call. Only
/// while the loop waits: nothing is changed when a callback or a coroutine runs, or when it cannot
/// be told which task the thread waits for. Sets `awaited`.
/// Source: CPython 3.10-3.13 Objects/genobject.c _PyGen_yf, Modules/_asynciomodule.c
void add_awaited(const Memory& memory, const TricornPythonLayout& layout, PythonThread& thread);

/// What the callbacks of an asyncio future, or of a concurrent.futures one, refer to: the future
/// that it is chained to is among that. Source: CPython Lib/asyncio/futures.py _chain_future
[[nodiscard]] std::vector<std::uint64_t> chained_to(PythonObjects& objects, std::uint64_t future);

/// The event loop of an asyncio task; 0: it is none.
[[nodiscard]] std::uint64_t loop_of_task(PythonObjects& objects, std::uint64_t task);

/// The frames of a task's coroutines, innermost first. @param awaited  what the innermost one
/// awaits
[[nodiscard]] std::vector<PythonFrame> frames_of_task(PythonObjects& objects, std::uint64_t task,
                                                      std::uint64_t& awaited);

}  // namespace tricorn::diagnose
