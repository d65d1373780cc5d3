// The exception that ends one request from outside.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyapi/gil.h"

namespace tricorn::pyapi {

/// tricorn.RequestTimeout, a BaseException, so that `except Exception` lets it pass. Borrowed;
/// null, with a Python exception set, when it cannot be made.
[[nodiscard]] PyObject* interruption_type(const Gil& gil);

/// Whether the present exception is one.
[[nodiscard]] bool is_interruption(const Gil& gil);

/// Raises it in the thread of `tstate` at its next bytecode. Source: PyThreadState_SetAsyncExc
void interrupt_thread(const PyThreadState* tstate, const Gil& gil);

/// Takes back one that has not been raised in the calling thread yet.
void forget_interruption(const Gil& gil);

}  // namespace tricorn::pyapi
