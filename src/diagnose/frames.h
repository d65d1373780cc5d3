// Reads meaning from a Python stack: whose code a frame is, which driver or waiting idiom it
// belongs to. Pure; names of files and functions are all there is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

using Stack = std::vector<PythonFrame>;

/// The frame to show to the person: the innermost one outside the standard library, installed
/// packages and this server. Without one, the application may be installed itself: the innermost
/// one outside the frameworks and drivers we know, else the innermost of all. nullptr: the stack is
/// empty, or all of it is this server's.
[[nodiscard]] const PythonFrame* place_in(const Stack& stack);

/// The innermost frame at or outside of place_in() whose lines are those of its file: of a template
/// it is the line that renders it. Without one, place_in().
[[nodiscard]] const PythonFrame* source_place_in(const Stack& stack);

/// Whether any frame is the application's: not the library's, the server's, or of a package we
/// know.
[[nodiscard]] bool has_application_code(const Stack& stack);

/// Whether a frame is of the standard library's asyncio.
[[nodiscard]] bool is_asyncio(const PythonFrame& frame);

/// Whether an event loop of asyncio, or one in its place that is made in C, waits in this stack.
[[nodiscard]] bool is_waiting_event_loop(const Stack& stack);

/// How many of the innermost frames are of what a coroutine of an async view has sent back to the
/// thread that waits for it, as asgiref does with code that is not async. 0: none, it waits.
[[nodiscard]] std::size_t sent_back_by_coroutine(const Stack& stack);

/// The stack without its outermost frames that are this server's own: no fault is looked for there.
[[nodiscard]] Stack without_server(Stack stack);

/// "app.py:203", or "invoice.html (line 18 as compiled)" of a template; relative to the
/// application's directory when it lies below it.
[[nodiscard]] std::string place_text(const PythonFrame& frame, std::string_view app_directory);

/// "redis/lock.py:235" of a package, "socket.py:706" of anything else.
[[nodiscard]] std::string library_text(const PythonFrame& frame);

/// A stack from its text, lines of "LINE FUNCTION FILE", innermost first (heartbeat::Header's
/// boot_stack). Stops at the first line that is not one: the page had no room for the rest.
[[nodiscard]] Stack stack_from(std::string_view text);

/// What the driver in the stack talks to: "PostgreSQL", "Redis" ...; empty: no database driver.
[[nodiscard]] std::string_view database_in(const Stack& stack);

/// Whether a frame of the standard library file (e.g. "subprocess.py") is among the innermost
/// frames, above all application code. @param function  its name or the end of its qualified name;
/// empty: any
[[nodiscard]] bool waits_in(const Stack& stack, std::string_view file, std::string_view function);

/// The installed package whose code waits: the innermost one outside the standard library, where no
/// code of the application lies further in. "paramiko", "s3transfer"; empty: none does.
[[nodiscard]] std::string_view package_that_waits(const Stack& stack);

/// The installed package that a thread belongs to: the outermost code outside the standard library
/// is its, and no code of the application is called. Empty: it is none's.
[[nodiscard]] std::string_view package_of_thread(const Stack& stack);

/// Whose pool of connections it is that has none free, where one is waited for: "SQLAlchemy".
/// Empty: no pool we know.
[[nodiscard]] std::string_view pool_in(const Stack& stack);

/// Where the thread is that an interpreter which ends waits for: the first with code of the
/// application's. nullptr: the serving thread is not in that wait, or none is known.
[[nodiscard]] const PythonFrame* kept_by(const ProcessLook& look);

/// Whether the innermost frames are a thread's or process's start.
[[nodiscard]] bool is_start(const Stack& stack);

}  // namespace tricorn::diagnose
