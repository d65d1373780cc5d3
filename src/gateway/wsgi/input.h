// wsgi.input: read, readline, readlines and iteration over a request body that ends by itself.
#pragma once

#include "gateway/wsgi/body.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// Makes the type known to Python. Once a process, before input_new().
/// @return false with a Python exception set
[[nodiscard]] bool input_ready(const pyapi::Gil& gil);

/// A file-like object over `body`; null body: already at its end.
/// @param body  must live until input_detach()
/// @return null with MemoryError
[[nodiscard]] pyapi::Ref input_new(Body* body, const pyapi::Gil& gil);

/// The request is over: what the application still holds reads as empty from now on.
void input_detach(PyObject* input);

}  // namespace tricorn::gateway::wsgi
