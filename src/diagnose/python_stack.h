// Reads the Python stacks of another process. CPython 3.10 to 3.13 by the offsets the worker left
// in its page; no header of CPython, no GIL, no stop. Every pointer read is taken as possibly
// wrong: the worker runs on while we read. Two looks that agree are the caller's proof.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/memory.h"
#include "heartbeat/python_layout.h"

namespace tricorn::diagnose {

/// Most frames of one thread that are read (the innermost ones). Source: our bound; Django needs
/// ~60.
inline constexpr std::size_t kFramesMax = 200;
/// Most Python threads of one worker that are read. Source: heartbeat::kSlotsMax plus the app's
/// own.
inline constexpr std::size_t kPythonThreadsMax = 1200;

/// The Python side of one thread.
struct PythonThread {
  std::uint64_t tstate = 0;
  pid_t tid = 0;                   ///< 0: CPython 3.10 does not keep it
  std::vector<PythonFrame> stack;  ///< innermost first; empty: no Python code is running in it
  std::uint64_t instruction = 0;   ///< position in the bytecode, comparable between looks
  bool jumps = false;              ///< the bytecode there is an unconditional jump
  bool torn = false;               ///< the chain of frames broke while it was read
  std::uint64_t awaited = 0;       ///< future its coroutines wait for; 0: none. add_awaited()
};

/// The interpreter's own state.
struct PythonState {
  bool readable = false;
  bool gil_locked = false;
  std::uint64_t gil_holder = 0;  ///< PyThreadState, 0 nobody
  bool gc_collecting = false;
};

/// GIL and collector. `readable` is false when the layout is not valid or memory could not be read.
[[nodiscard]] PythonState read_state(const Memory& memory, const TricornPythonLayout& layout);

/// One thread's stack, the deepest of a few when its chain breaks each time.
/// @param tstate  address of its PyThreadState
[[nodiscard]] PythonThread read_thread(const Memory& memory, const TricornPythonLayout& layout,
                                       std::uint64_t tstate);

/// The stack whose innermost frame lies at an address; `torn` when it is none.
[[nodiscard]] PythonThread read_stack(const Memory& memory, const TricornPythonLayout& layout,
                                      std::uint64_t frame);

/// One frame as it lies in memory.
struct RawFrame {
  std::uint64_t address = 0;
  std::uint64_t code = 0;
  std::uint64_t previous = 0;
  std::uint64_t instruction = 0;  ///< absolute address (3.11+) or code units from the start (3.10)
  bool skip = false;              ///< a frame of the C stack: shows no Python code
  bool of_generator = false;      ///< lies in a generator or coroutine (3.11+)
};

/// One frame at its address; nothing when it cannot be read.
[[nodiscard]] std::optional<RawFrame> read_frame(const Memory& memory,
                                                 const TricornPythonLayout& layout,
                                                 std::uint64_t address);

/// File, function and line of a frame; nothing when its code object is none.
[[nodiscard]] std::optional<PythonFrame> describe_frame(const Memory& memory,
                                                        const TricornPythonLayout& layout,
                                                        const RawFrame& frame);

/// The frames of one thread without their names, innermost first, at most `most`.
[[nodiscard]] std::vector<RawFrame> read_frames(const Memory& memory,
                                                const TricornPythonLayout& layout,
                                                std::uint64_t tstate, std::size_t most);

/// A word of the other process; nothing when it cannot be read.
[[nodiscard]] std::optional<std::uint64_t> read_word(const Memory& memory, std::uint64_t address);

/// A bytes object's content, bounded; nothing when it is none.
[[nodiscard]] std::optional<std::string> read_bytes(const Memory& memory,
                                                    const TricornPythonLayout& layout,
                                                    std::uint64_t address);

/// Whether it can be an object's address: aligned, and in user space.
[[nodiscard]] bool is_plausible(std::uint64_t address);

/// Addresses of all PyThreadStates of the main interpreter, newest first; the main thread is the
/// last.
[[nodiscard]] std::vector<std::uint64_t> read_thread_list(const Memory& memory,
                                                          const TricornPythonLayout& layout);

/// Line of an instruction by CPython 3.11's and later location table.
/// @param table  co_linetable  @param offset  in code units of 2 bytes from the start of the code
/// @return 0 when the table has no line for it. Source: CPython Objects/locations.md
[[nodiscard]] int line_from_locations(std::string_view table, int first_line, std::int64_t offset);

/// Line of an instruction by CPython 3.10's co_linetable.
/// @param offset  in bytes from the start of the code
/// @return 0 when there is no line. Source: PEP 626, CPython 3.10 Objects/lnotab_notes.txt
[[nodiscard]] int line_from_lines(std::string_view table, int first_line, std::int64_t offset);

}  // namespace tricorn::diagnose
