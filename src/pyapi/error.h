// Python exceptions as text.
#pragma once

#include <string>

#include "pyapi/gil.h"

namespace tricorn::pyapi {

/// Takes the current exception, if any, and gives what traceback.format_exception says of it,
/// "Traceback (most recent call last): ...\n"; empty without an exception. No exception is left.
[[nodiscard]] std::string take_traceback(const Gil& gil);

}  // namespace tricorn::pyapi
