// The cold half of the head parser: lines that are incomplete, folded or wrong.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "http/h1/field_line.h"
#include "http/h1/parser.h"

namespace tricorn::http::h1 {
namespace {

constexpr std::size_t kShownBytesMax = 64;  // of the client's bytes in a message

// The client's bytes for a log line and a page: what is not visible ASCII as \xNN, so that nobody's
// terminal or log reader is spoken to.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kShownBytesMax)) {
    if (c >= 0x20 && c < 0x7f) {
      out.push_back(c);
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    }
  }
  if (text.size() > kShownBytesMax) out += "...";
  return out;
}

std::string upper(std::string_view text) {
  std::string out = shown(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

// The buffer may have moved: so do the views into it.
void HeadParser::rebase(const char* base) {
  // Addresses as numbers: the old buffer may be gone. Texts that lie elsewhere (unfolded_) stay.
  const auto shift = [this, base](std::string_view& view) {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(view.data()) - reinterpret_cast<std::uintptr_t>(base_);
    if (view.data() != nullptr && offset <= std::max(scanned_, line_at_))
      view = {base + offset, view.size()};
  };
  for (std::string_view* view :
       {&head_.method_text, &head_.target, &head_.path, &head_.query, &head_.authority}) {
    shift(*view);
  }
  for (Field& field : head_.fields) {
    shift(field.name);
    shift(field.value);
  }
  base_ = base;
}

// Longest line that may stand here, with its CRLF.
std::size_t HeadParser::bound() const {
  return stage_ == Stage::RequestLine ? line_bound_ : field_bound_;
}

// The line at line_at_ with its LF; empty when that is not within the bound, or not here yet.
std::string_view HeadParser::complete_line(const char* end) const {
  const char* const line = base_ + line_at_;
  const std::size_t window = std::min(static_cast<std::size_t>(end - line), bound());
  const void* newline = std::memchr(line, '\n', window);
  if (newline == nullptr) return {};
  return {line, static_cast<std::size_t>(static_cast<const char*>(newline) - line) + 1};
}

// A line could not be taken. NeedMore with line_at_ moved: it was a folded one, go on behind it.
HeadParser::Status HeadParser::stop(Fault fault, const char* end) {
  const std::string_view line = complete_line(end);
  if (line.empty()) {
    const auto here = static_cast<std::size_t>(end - (base_ + line_at_));
    if (here >= bound()) return refuse_too_long(here);
    scanned_ = static_cast<std::size_t>(end - base_);
    return Status::NeedMore;
  }
  if (stage_ == Stage::Fields && is_space(line.front()) && limits_.permit_obsolete_folding &&
      unfold(line)) {
    return Status::NeedMore;
  }
  return stage_ == Stage::Refused ? Status::Error : refuse_line(fault, line);
}

// Joins a continuation line to the value before it with one space, as Gunicorn does. RFC 9112
// section 5.2.
// @return false: the line is wrong, and refused already when it made the field too long
bool HeadParser::unfold(std::string_view line) {
  if (head_.fields.empty() || !line.ends_with("\r\n")) return false;
  const std::string_view content = without_line_end(line);
  if (!valid_field_value(content)) return false;
  Field& field = head_.fields.back();
  const std::string_view more = trim(content);
  if (field.value.size() + 1 + more.size() > field_bound_) {
    refuse_too_long(0);
    return false;
  }
  unfolded_.push_back(std::string(field.value).append(" ").append(more));
  field.value = unfolded_.back();
  line_at_ += line.size();
  return true;
}

HeadParser::Status HeadParser::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  stage_ = Stage::Refused;
  return Status::Error;
}

HeadParser::Status HeadParser::refuse_too_long(std::size_t bytes) {
  if (stage_ == Stage::RequestLine) {
    return refuse(414,
                  fmt::format("Request Line is too large ({} > {})", bytes, limits_.line_max()));
  }
  return refuse(431, "Error parsing headers: 'limit request headers fields size'");
}

HeadParser::Status HeadParser::refuse_line(Fault fault, std::string_view line) {
  switch (fault) {
    case Fault::Method:
      return refuse(
          400, fmt::format("Invalid Method 'Invalid HTTP method: '{}''", shown(head_.method_text)));
    case Fault::Version:
      return refuse_version(line);
    case Fault::Name:
      return refuse_name(line);
    case Fault::Value:
      return refuse(400, fmt::format("Invalid HTTP Header: '{}'",
                                     upper(trim(line.substr(0, line.find(':'))))));
    case Fault::TooMany:
      return refuse(431, "Error parsing headers: 'limit request headers fields'");
    case Fault::TooLong:
      return refuse_too_long(line.size());
    case Fault::None:
    case Fault::RequestLine:
    case Fault::Target:
      break;
  }
  return refuse(400, fmt::format("Invalid Request Line 'Invalid HTTP request line: '{}''",
                                 shown(without_line_end(line))));
}

// "HTTP/d.d" of another major version as a pair of numbers, anything else as it is: gunicorn.md
// section 6.3.
HeadParser::Status HeadParser::refuse_version(std::string_view line) {
  const std::string_view text = without_line_end(line);
  const std::string_view given = text.substr(text.rfind(' ') + 1);
  const bool shaped = given.size() == 8 && given.starts_with("HTTP/") && is_digit(given[5]) &&
                      given[6] == '.' && is_digit(given[7]) && line.ends_with("\r\n");
  if (!shaped) return refuse(400, fmt::format("Invalid HTTP Version '{}'", shown(given)));
  return refuse(400, fmt::format("Invalid HTTP Version 'Invalid HTTP Version: ({}, {})'", given[5],
                                 given[7]));
}

HeadParser::Status HeadParser::refuse_name(std::string_view line) {
  if (is_space(line.front()) && !head_.fields.empty()) {
    return refuse(400, fmt::format("Obsolete line folding is unacceptable: '{}'",
                                   upper(head_.fields.back().name)));
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return refuse(400, fmt::format("Invalid HTTP Header: '{}'", shown(without_line_end(line))));
  }
  return refuse(400, fmt::format("Invalid HTTP header name: '{}'", shown(line.substr(0, colon))));
}

}  // namespace tricorn::http::h1
