// What a traceback of an aborted request says: where it was, and what it waited in.
#pragma once

#include <string>
#include <string_view>

#include "control/doctor/traceback.h"

namespace tricorn::control::doctor {

/// Whether the traceback is Gunicorn's SIGABRT arriving: it ends in handle_abort or SystemExit, and
/// the application did not call exit itself.
[[nodiscard]] bool is_abort(const Traceback& traceback);

/// "file:line in function" of the innermost application frame, else of the innermost third-party
/// frame that isn't Gunicorn's; empty when there is neither.
[[nodiscard]] std::string stack_line(const Traceback& traceback);

/// What it waited in ("smtp", "database", …); empty when no frame tells.
[[nodiscard]] std::string_view blocked_in(const Traceback& traceback);

/// The innermost frame computes: application code (or a computing library) on a line without a
/// call.
[[nodiscard]] bool is_cpu_bound(const Traceback& traceback);

/// Gunicorn's own reader of requests is the place.
[[nodiscard]] bool is_gunicorn_reading(const Traceback& traceback);

/// Gunicorn was loading the application, its configuration or a worker class.
[[nodiscard]] bool is_loading(const Traceback& traceback);

}  // namespace tricorn::control::doctor
