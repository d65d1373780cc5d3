// The outermost keys of one JSON line, read without building a document: a log has millions.
#pragma once

#include <string_view>

namespace tricorn::control::doctor {

/// Calls `seen(key, value, is_text)` for each outermost key; `value` is raw: between the quotes for
/// a string (still escaped), else as written. Ends quietly at the first thing that is not JSON.
template <class Seen>
void for_each_key(std::string_view text, Seen&& seen);

namespace json_detail {

// End of the string that begins after its quote; npos when it is cut.
inline std::size_t string_end(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return at < text.size() ? at : std::string_view::npos;
}

// End of any value; nested ones are stepped over whole.
inline std::size_t value_end(std::string_view text, std::size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      at = string_end(text, at + 1);
      if (at == std::string_view::npos) return text.size();
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      --depth;
    } else if (c == ',' && depth == 0) {
      return at;
    }
  }
  return text.size();
}

inline std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  return at;
}

}  // namespace json_detail

template <class Seen>
void for_each_key(std::string_view text, Seen&& seen) {
  using namespace json_detail;
  std::size_t at = skip_blanks(text, 0);
  if (at >= text.size() || text[at] != '{') return;
  ++at;
  while (true) {
    at = skip_blanks(text, at);
    if (at >= text.size() || text[at] != '"') return;
    const std::size_t key_end = string_end(text, at + 1);
    if (key_end == std::string_view::npos) return;
    const std::string_view key = text.substr(at + 1, key_end - at - 1);
    at = skip_blanks(text, key_end + 1);
    if (at >= text.size() || text[at] != ':') return;
    at = skip_blanks(text, at + 1);
    if (at >= text.size()) return;
    if (text[at] == '"') {
      const std::size_t end = string_end(text, at + 1);
      const bool cut = end == std::string_view::npos;
      seen(key, text.substr(at + 1, (cut ? text.size() : end) - at - 1), true);
      if (cut) return;
      at = end + 1;
    } else {
      const std::size_t end = value_end(text, at);
      std::size_t last = end;
      while (last > at && text[last - 1] == ' ') --last;
      seen(key, text.substr(at, last - at), false);
      at = end;
    }
    at = skip_blanks(text, at);
    if (at >= text.size() || text[at] != ',') return;
    ++at;
  }
}

}  // namespace tricorn::control::doctor
