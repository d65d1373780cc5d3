#include "control/doctor/one_line.h"

#include <algorithm>

#include "control/doctor/text.h"
#include "control/doctor/traceback.h"

namespace tricorn::control::doctor {
namespace {

constexpr std::string_view kHead = "Traceback (most recent call last):";
constexpr std::string_view kFrame = "File \"";

std::string_view without_marks(std::string_view source) {
  while (!source.empty() && std::string_view("^~ ").find(source.back()) != std::string_view::npos)
    source.remove_suffix(1);
  return source;
}

// Where the exception begins behind the source line of the last frame; its end when none does.
std::size_t exception_at(std::string_view source) {
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t end = std::min(source.find(' ', at), source.size());
    const std::string_view word = source.substr(at, end - at);
    const bool whole = word.ends_with(':') || end == source.size();
    if (at > 0 && whole && !exception_class(word).empty()) return at;
    at = end + 1;
  }
  return source.size();
}

// `File "x", line 1, in f source`, and behind the last frame the exception.
void append_frame(std::string_view piece, bool last, std::string& out) {
  const std::size_t in = piece.find(", in ");
  std::string_view rest = in == std::string_view::npos ? "" : piece.substr(in + 5);
  const std::string_view name = take_token(rest);
  if (name.empty()) {
    out.append("\n  ").append(piece);
    return;
  }
  out.append("\n  ").append(piece.substr(0, in + 5)).append(name);
  rest = trimmed(rest);
  const std::size_t exception = last ? exception_at(rest) : rest.size();
  const std::string_view source = without_marks(rest.substr(0, exception));
  if (!source.empty()) out.append("\n    ").append(source);
  if (exception < rest.size()) out.append("\n").append(rest.substr(exception));
}

}  // namespace

std::string in_lines(std::string_view text, std::size_t at) {
  std::string_view rest = text.substr(at + kHead.size());
  std::string out(trimmed(text.substr(0, at)));
  if (rest.starts_with("\\n")) {
    if (out.ends_with("\\n")) out.resize(out.size() - 2);
    out.append("\n").append(kHead);
    while (take(rest, "\\n")) {
      const std::size_t end = std::min(rest.find("\\n"), rest.size());
      out.append("\n").append(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    return out;
  }
  if (take_blanks(rest) == 0 || !rest.starts_with(kFrame)) return {};
  out.append("\n").append(kHead);
  while (!rest.empty()) {
    const std::size_t next = rest.find(" File \"", 1);
    append_frame(rest.substr(0, next), next == std::string_view::npos, out);
    rest.remove_prefix(next == std::string_view::npos ? rest.size() : next + 1);
  }
  return out;
}

}  // namespace tricorn::control::doctor
