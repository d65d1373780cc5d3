// wsgi.file_wrapper: an iterable over a file that the server may send with sendfile(2) instead.
#pragma once

#include <sys/types.h>

#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// Makes the type known to Python. Once a process. @return false with a Python exception set
[[nodiscard]] bool file_wrapper_ready(const pyapi::Gil& gil);

/// The type itself, for environ["wsgi.file_wrapper"]. Borrowed.
[[nodiscard]] PyObject* file_wrapper_type();

/// A regular file behind a wrapper, from its current position to its end.
struct SendableFile {
  int fd = -1;       ///< the file object's own descriptor, borrowed
  off_t offset = 0;  ///< bytes
  off_t bytes = 0;   ///< from offset to the end
};

/// Looks whether `iterable` is exactly our wrapper around a regular file.
/// @return fd -1 when it must be iterated over instead; never leaves an exception.
/// Source: PEP 3333, "Optional Platform-Specific File Handling".
[[nodiscard]] SendableFile sendable_file(PyObject* iterable, const pyapi::Gil& gil);

}  // namespace tricorn::gateway::wsgi
