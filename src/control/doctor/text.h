// Small readers of text that is not trusted: each takes from the front, or says no.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tricorn::control::doctor {

[[nodiscard]] inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] inline bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
[[nodiscard]] inline bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '_'; }

[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Takes `prefix` off when `text` begins with it.
[[nodiscard]] inline bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Takes blanks off; @return how many.
std::size_t take_blanks(std::string_view& text);

/// Takes a decimal number of 1 to `digits_max` digits.
[[nodiscard]] std::optional<std::int64_t> take_number(std::string_view& text, int digits_max = 12);

/// Takes everything up to a blank; empty when there is none to take.
[[nodiscard]] std::string_view take_token(std::string_view& text);

/// Without blanks (and CR, LF) at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text);

/// What may be printed of a line: no query strings, no addresses, no control characters, cut to
/// `bytes_max` at a character's border.
[[nodiscard]] std::string printable_part(std::string_view text, std::size_t bytes_max);

}  // namespace tricorn::control::doctor
