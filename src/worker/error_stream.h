// wsgi.errors: a text stream into the error log that never waits for the log's reader.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/log.h"
#include "pyapi/ref.h"

namespace tricorn::worker {

/// A file-like object: write, writelines, flush, fileno. Whole lines go at once; what has no end
/// yet waits for flush(), up to kErrorLineMax bytes. Bytes that are no text are escaped.
/// @param log  outlives it
/// @return null with a Python exception set
[[nodiscard]] pyapi::Ref error_stream(const base::Log& log, const pyapi::Gil& gil);

/// Bytes of a line without an end that are kept before they are written.
inline constexpr std::size_t kErrorLineMax = 64 * 1024;

}  // namespace tricorn::worker
