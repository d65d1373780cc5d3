// JSON text written by hand, where a whole JSON library would be too slow or too much.
#pragma once

#include <string>
#include <string_view>

namespace tricorn::base {

/// Appends `text` as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD, one
/// each. Source: RFC 8259 section 7; RFC 3629 section 4.
void append_json_string(std::string& out, std::string_view text);

}  // namespace tricorn::base
