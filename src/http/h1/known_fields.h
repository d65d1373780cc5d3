// Recognises field names by length and letters.
#pragma once

#include <string_view>

#include "http/message.h"

namespace tricorn::http::h1 {

/// Which known field a name is, without case. @param name  a token
[[nodiscard]] KnownField known_field(std::string_view name);

}  // namespace tricorn::http::h1
