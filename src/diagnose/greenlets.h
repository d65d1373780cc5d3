// The stack of a request whose greenlet is switched out: the thread runs gevent's hub meanwhile,
// and the hub has no frame of the application.
#pragma once

#include <cstdint>

#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// read_thread(), but when gevent's hub runs there, the frames of the thread's main greenlet, which
/// the request is in and which goes on when the hub lets it. greenlet does not publish where it
/// keeps them: they are found by what they are, and when they are not, the hub's are returned.
[[nodiscard]] PythonThread read_request_thread(const Memory& memory,
                                               const TricornPythonLayout& layout,
                                               std::uint64_t tstate);

}  // namespace tricorn::diagnose
