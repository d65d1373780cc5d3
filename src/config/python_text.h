// Values and numbers as Python reads and prints them, for error texts and --print-config that equal
// Gunicorn's.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tricorn::config {

/// Python's str(): strings as they are, lists and dictionaries with their elements' repr().
[[nodiscard]] std::string python_str(const nlohmann::ordered_json& value);

/// Python's repr(): strings in quotes, with escapes.
[[nodiscard]] std::string python_repr(const nlohmann::ordered_json& value);

/// Python's repr() of a string.
[[nodiscard]] std::string python_quoted(std::string_view text);

/// Name of the Python type of a value: int, str, NoneType, ...
[[nodiscard]] std::string_view python_type(const nlohmann::ordered_json& value);

/// Python's str.strip() for ASCII white space.
[[nodiscard]] std::string_view stripped(std::string_view text);

/// Python's str.lower() for ASCII.
[[nodiscard]] std::string lowered(std::string_view text);

/// Whether these bytes are UTF-8, which is all that JSON can carry: no overlong form, no surrogate.
/// Source: RFC 3629 section 4.
[[nodiscard]] bool is_utf8(std::string_view text);

/// Python's int(text, base): white space, sign, single underscores between digits.
/// @param base  10, 8, or 0: by prefix 0x, 0o, 0b, and a decimal number may not begin with 0
/// @return nothing where Python raises ValueError, and for numbers beyond 64 bits
/// Source: Python library reference, int() and "Integer literals".
[[nodiscard]] std::optional<std::int64_t> python_int(std::string_view text, int base);

}  // namespace tricorn::config
