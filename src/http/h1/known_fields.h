// Recognises field names by a perfect hash over length, first and last letter.
#pragma once

#include <string_view>

#include "http/message.h"

namespace tricorn::http::h1 {

/// Which known field a name is, without case. @param name  a token (not empty)
[[nodiscard]] KnownField known_field(std::string_view name);

}  // namespace tricorn::http::h1
