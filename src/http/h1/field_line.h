// One line of a field section, in a head or among trailers.
#pragma once

#include <cstdint>

#include "http/h1/scan.h"
#include "http/message.h"

namespace tricorn::http::h1 {

/// What is wrong with a line, so far as it is here. A line without its LF always has a fault:
/// whether it is broken or only incomplete is for the caller to find out, away from the hot path.
enum class FieldFault : std::uint8_t { None, Name, Value };

/// Takes "name: value" CRLF. Source: RFC 9112 section 5.
/// @param at  start of the line; moved behind its CRLF for None, else left where it is
/// @param strip_spaces  white space may stand before the colon
/// @param into  takes views of name and value; `known` is not touched
[[nodiscard]] inline FieldFault take_field_line(const char*& at, const char* end, bool strip_spaces,
                                                Field& into) {
  const char* const name_end = skip_token(at, end);
  const char* colon = name_end;
  if (strip_spaces) {
    while (colon != end && is_space(*colon)) ++colon;
  }
  if (colon == end || *colon != ':' || name_end == at) return FieldFault::Name;
  const char* value = colon + 1;
  while (value != end && is_space(*value)) ++value;
  const char* value_end = find_value_end(value, end);
  if (!at_crlf(value_end, end)) return FieldFault::Value;
  into.name = {at, static_cast<std::size_t>(name_end - at)};
  at = value_end + 2;
  while (value_end != value && is_space(value_end[-1])) --value_end;
  into.value = {value, static_cast<std::size_t>(value_end - value)};
  return FieldFault::None;
}

}  // namespace tricorn::http::h1
