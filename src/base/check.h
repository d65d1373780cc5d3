// TRICORN_CHECK: for faults of our own only, never for input.
#pragma once

namespace tricorn::base {

/// Writes "file:line: check failed: what" to stderr and aborts. Async-signal-safe.
[[noreturn]] void check_failed(const char* file, int line, const char* what);

}  // namespace tricorn::base

/// Aborts when `condition` is false: a fault in this program, not in its input.
#define TRICORN_CHECK(condition)      \
  ((condition) ? static_cast<void>(0) \
               : ::tricorn::base::check_failed(__FILE__, __LINE__, #condition))
