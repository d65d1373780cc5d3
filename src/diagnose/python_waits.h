// Who waits for whom among the Python threads of another process: the lock that a sleeping thread
// wants, and the thread that has it. Read from the frames' own
// variables, as python_stack.h reads the frames; every pointer is taken as possibly wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// The locks that sleeping threads of a full look want. A lock is recognised by the word the thread
/// sleeps on; its holder is the owner of an RLock, or the thread that is inside its `with` block
/// (CPython 3.11 and later).
[[nodiscard]] std::vector<LockWait> read_lock_waits(const Memory& memory,
                                                    const TricornPythonLayout& layout,
                                                    const std::vector<ThreadLook>& threads);

/// Type of the exception that a thread is handling: it is inside the `except` block, or what that
/// calls. Empty: none.
[[nodiscard]] std::string exception_handled(const Memory& memory, const TricornPythonLayout& layout,
                                            std::uint64_t tstate);

/// How many entries of a frame's stack are certainly in use at an instruction: what the `with` and
/// `try` blocks around it will need. 0 outside of all.
/// @param table  co_exceptiontable  @param offset  in code units
/// Source: CPython Objects/exception_handling_notes.txt (3.11 and later)
[[nodiscard]] std::uint32_t depth_from_exceptions(std::string_view table, std::int64_t offset);

}  // namespace tricorn::diagnose
