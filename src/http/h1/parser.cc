#include "http/h1/parser.h"

#include <algorithm>
#include <cstring>

#include "http/h1/field_line.h"
#include "http/h1/known_fields.h"
#include "http/h1/scan.h"
#include "http/h1/target.h"

namespace tricorn::http::h1 {
namespace {

constexpr std::size_t kFieldsReserved = 16;  // more grow the vector once, for good
constexpr std::string_view kVersionLine = "HTTP/1.1\r\n";

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      return text == "GET" ? Method::Get : text == "PUT" ? Method::Put : Method::Other;
    case 4:
      return text == "POST" ? Method::Post : text == "HEAD" ? Method::Head : Method::Other;
    case 5:
      return text == "PATCH" ? Method::Patch : text == "TRACE" ? Method::Trace : Method::Other;
    case 6:
      return text == "DELETE" ? Method::Delete : Method::Other;
    case 7:
      return text == "OPTIONS"   ? Method::Options
             : text == "CONNECT" ? Method::Connect
                                 : Method::Other;
    default:
      return Method::Other;
  }
}

// Gunicorn's idea of a conventional method: 3 to 20 characters, no lower case, no '#'.
bool conventional(std::string_view method) {
  return method.size() >= 3 && method.size() <= 20 &&
         std::none_of(method.begin(), method.end(),
                      [](char c) { return (c >= 'a' && c <= 'z') || c == '#'; });
}

}  // namespace

HeadParser::HeadParser(const Limits& limits)
    : limits_(limits),
      line_bound_(limits.line_max() + 2),
      field_bound_(limits.field_bound()),
      fields_bound_(limits.fields_bound()) {
  head_.fields.reserve(kFieldsReserved);
}

void HeadParser::reset() {
  head_.clear();
  seen_ = {};
  if (!unfolded_.empty()) unfolded_.clear();
  base_ = nullptr;
  line_at_ = scanned_ = 0;
  stage_ = Stage::RequestLine;
}

HeadParser::Status HeadParser::feed(std::string_view bytes) {
  if (base_ == nullptr) base_ = bytes.data();
  if (base_ != bytes.data()) rebase(bytes.data());
  const char* const end = bytes.data() + bytes.size();
  for (;;) {
    if (stage_ >= Stage::Done) return stage_ == Stage::Done ? Status::Done : Status::Error;
    if (no_new_line(bytes)) return Status::NeedMore;
    const Fault fault = read_lines(end);
    if (fault == Fault::None) return finish();
    const std::size_t before = line_at_;
    const Status status = stop(fault, end);
    if (status != Status::NeedMore || line_at_ == before)
      return status;  // moved on: a folded line was taken
  }
}

// True when the line that was incomplete still is, and may go on. Each byte is looked at once for
// this.
bool HeadParser::no_new_line(std::string_view bytes) {
  if (scanned_ <= line_at_) return false;
  if (std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_) != nullptr) return false;
  scanned_ = bytes.size();
  return bytes.size() - line_at_ < bound();
}

HeadParser::Fault HeadParser::read_lines(const char* end) {
  if (stage_ == Stage::RequestLine) {
    const char* at = base_ + line_at_;
    if (line_at_ == 0 && at_crlf(at, end)) {  // one empty line before it: RFC 9112 section 2.2
      line_at_ = 2;
      at += 2;
    }
    if (const Fault fault = request_line(at, end); fault != Fault::None) return fault;
    stage_ = Stage::Fields;
  }
  return fields(end);
}

HeadParser::Status HeadParser::finish() {
  if (!check_framing(head_, seen_, host_, refusal_)) {
    stage_ = Stage::Refused;
    return Status::Error;
  }
  stage_ = Stage::Done;
  return Status::Done;
}

// ---- request line
// ----------------------------------------------------------------------------------

HeadParser::Fault HeadParser::request_line(const char* at, const char* end) {
  const char* const start = at;
  if (end - at >= 4 && std::memcmp(at, "GET ", 4) == 0) {  // most of them
    head_.method_text = {at, 3};
    head_.method = Method::Get;
    at += 3;
  } else {
    at = skip_token(at, end);
    if (at == end || *at != ' ' || at == start) return Fault::RequestLine;
    if (const Fault fault = method({start, static_cast<std::size_t>(at - start)});
        fault != Fault::None)
      return fault;
  }
  const char* const target = ++at;
  const TargetScan scan = scan_target(at, end);
  at = scan.end;
  if (at == end || *at != ' ' || at == target) return Fault::RequestLine;
  head_.target = {target, static_cast<std::size_t>(at - target)};
  if (const Fault fault = version(++at, end); fault != Fault::None) return fault;
  if (static_cast<std::size_t>(at - start) > line_bound_) return Fault::TooLong;
  if (!split_target(head_, scan)) return Fault::Target;
  line_at_ = static_cast<std::size_t>(at - base_);
  return Fault::None;
}

HeadParser::Fault HeadParser::method(std::string_view text) {
  head_.method_text = text;
  if (limits_.casefold_http_method) {
    folded_method_.assign(text);
    for (char& c : folded_method_) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    head_.method_text = folded_method_;
  }
  head_.method = method_of(head_.method_text);
  const bool good = head_.method != Method::Other || limits_.permit_unconventional_http_method ||
                    conventional(head_.method_text);
  return good ? Fault::None : Fault::Method;
}

HeadParser::Fault HeadParser::version(const char*& at, const char* end) {
  if (static_cast<std::size_t>(end - at) < kVersionLine.size()) return Fault::Version;
  if (std::memcmp(at, kVersionLine.data(), kVersionLine.size()) != 0) {
    const bool shaped = std::memcmp(at, "HTTP/", 5) == 0 && is_digit(at[5]) && at[6] == '.' &&
                        is_digit(at[7]) && at[8] == '\r' && at[9] == '\n';
    if (!shaped || (at[5] != '1' && !limits_.permit_unconventional_http_version))
      return Fault::Version;
    // A higher minor version is spoken to as 1.1: RFC 9110 section 2.5.
    head_.version_minor = at[5] == '1' && at[7] == '0' ? 0 : 1;
  }
  at += kVersionLine.size();
  return Fault::None;
}

// ---- fields
// ----------------------------------------------------------------------------------------

HeadParser::Fault HeadParser::fields(const char* end) {
  const char* at = base_ + line_at_;
  while (!at_crlf(at, end)) {
    Field field;
    const char* const start = at;
    const FieldFault fault = take_field_line(at, end, limits_.strip_header_spaces, field);
    if (fault != FieldFault::None) return fault == FieldFault::Name ? Fault::Name : Fault::Value;
    if (static_cast<std::size_t>(at - start) > field_bound_) return Fault::TooLong;
    if (head_.fields.size() >= fields_bound_) return Fault::TooMany;
    field.known = known_field(field.name);
    (seen_.once.has(field.known) ? seen_.again : seen_.once).add(field.known);
    head_.fields.push_back(field);
    line_at_ = static_cast<std::size_t>(at - base_);
  }
  head_.head_bytes = static_cast<std::size_t>(at + 2 - base_);
  return Fault::None;
}

}  // namespace tricorn::http::h1
