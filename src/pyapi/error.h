// Python exceptions as text.
#pragma once

#include <string>

#include "pyapi/gil.h"

namespace tricorn::pyapi {

/// Takes the current exception, if any, and gives what traceback.format_exception says of it,
/// "Traceback (most recent call last): ...\n"; empty without an exception. No exception is left.
[[nodiscard]] std::string take_traceback(const Gil& gil);

/// Where the current exception was raised, lines of "LINE FUNCTION FILE", innermost first, at most
/// some forty; empty without an exception. The exception stays.
[[nodiscard]] std::string stack_of_exception(const Gil& gil);

}  // namespace tricorn::pyapi
