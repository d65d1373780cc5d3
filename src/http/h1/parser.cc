#include "http/h1/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "http/h1/known_fields.h"
#include "http/h1/scan.h"

namespace tricorn::http::h1 {
namespace {

struct MethodName {
  std::string_view text;
  Method method;
};
constexpr MethodName kMethods[] = {
    {"GET", Method::Get},         {"HEAD", Method::Head},     {"POST", Method::Post},
    {"PUT", Method::Put},         {"DELETE", Method::Delete}, {"OPTIONS", Method::Options},
    {"PATCH", Method::Patch},     {"CONNECT", Method::Connect}, {"TRACE", Method::Trace},
};

Method method_of(std::string_view text) {
  for (const MethodName& known : kMethods) {
    if (known.text == text) return known.method;
  }
  return Method::Other;
}

// Gunicorn's idea of a conventional method: 3 to 20 characters, no lower case, no '#'.
bool conventional(std::string_view method) {
  return method.size() >= 3 && method.size() <= 20 &&
         std::none_of(method.begin(), method.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '#'; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `each` for the members of a comma-separated list; empty members are skipped. RFC 9110 section 5.6.1.
template <class Each>
void for_each_member(std::string_view list, Each each) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view member = trim(list.substr(0, comma)); !member.empty()) each(member);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

// uri-host [":" port]: reg-name, IPv4 or [IPv6], no user info. RFC 9110 section 7.2, RFC 3986 section 3.2.2.
bool valid_host(std::string_view host) {
  std::size_t port_at = host.size();
  if (!host.empty() && host.front() == '[') {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    for (const char c : host.substr(1, close - 1)) {
      if (std::strchr("0123456789abcdefABCDEF:.%", c) == nullptr || c == '\0') return false;
    }
    port_at = close + 1;
    if (port_at < host.size() && host[port_at] != ':') return false;
  } else {
    port_at = std::min(host.find(':'), host.size());
    for (const char c : host.substr(0, port_at)) {
      const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!alnum && (std::strchr("-._~!$&'()*+,;=%", c) == nullptr || c == '\0')) return false;
    }
  }
  for (const char c : host.substr(std::min(port_at + 1, host.size()))) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

}  // namespace

HeadParser::HeadParser(const Limits& limits) : limits_(limits) { head_.fields.reserve(16); }

void HeadParser::reset() {
  std::vector<Field> fields = std::move(head_.fields);
  fields.clear();
  head_ = RequestHead{};
  head_.fields = std::move(fields);
  folded_method_.clear();
  unfolded_.clear();
  base_ = nullptr;
  line_at_ = scanned_ = 0;
  stage_ = Stage::Start;
  skipped_empty_line_ = false;
}

HeadParser::Line HeadParser::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  return Line::Error;
}

// The buffer may have moved: so do the views into it.
void HeadParser::rebase(const char* base) {
  if (base_ == base) return;
  if (base_ != nullptr) {
    const auto shift = [this, base](std::string_view& view) {
      const bool ours = view.data() >= base_ && view.data() <= base_ + scanned_;
      if (ours) view = {base + (view.data() - base_), view.size()};
    };
    for (std::string_view* view : {&head_.method_text, &head_.target, &head_.path, &head_.query, &head_.authority}) {
      shift(*view);
    }
    for (Field& field : head_.fields) {
      shift(field.name);
      shift(field.value);
    }
  }
  base_ = base;
}

HeadParser::Status HeadParser::feed(std::string_view bytes) {
  rebase(bytes.data());
  // A line is parsed when its end is here: new bytes are looked at once for '\n', then once as a line.
  if (scanned_ > 0 && std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_) == nullptr) {
    const bool first = stage_ != Stage::Fields;
    const std::size_t bound = first ? limits_.line_max() + 2 : limits_.field_bound();
    scanned_ = bytes.size();
    if (bytes.size() - line_at_ <= bound) return Status::NeedMore;
  }
  return step(bytes.data() + bytes.size());
}

HeadParser::Status HeadParser::step(const char* end) {
  for (;;) {
    const char* at = base_ + line_at_;
    if (at == end) break;
    if (stage_ == Stage::Start && *at == '\r' && !skipped_empty_line_) {  // RFC 9112 section 2.2
      if (end - at < 2) break;
      if (at[1] != '\n') return refuse(400, "Invalid Request Line 'Invalid HTTP request line: '\\r''"), Status::Error;
      skipped_empty_line_ = true;
      line_at_ += 2;
      continue;
    }
    const Line line = stage_ == Stage::Fields ? field_line(at, end) : request_line(at, end);
    if (line == Line::Error) return Status::Error;
    if (line == Line::NeedMore) break;
    if (line == Line::End) return frame();
  }
  scanned_ = static_cast<std::size_t>(end - base_);
  return Status::NeedMore;
}

// ---- request line ----------------------------------------------------------------------------------

HeadParser::Line HeadParser::request_line(const char* at, const char* end) {
  const char* const start = at;
  const std::size_t limit = limits_.line_max();
  const auto too_long = [&](const char* position) { return static_cast<std::size_t>(position - start) > limit; };
  const auto more = [&] {
    if (!too_long(end)) return Line::NeedMore;
    return refuse(414, fmt::format("Request Line is too large ({} > {})", end - start, limit));
  };
  const auto bad = [&] {
    const std::size_t shown = std::min<std::size_t>(static_cast<std::size_t>(end - start), 64);
    std::string_view text(start, shown);
    text = text.substr(0, text.find_first_of("\r\n"));
    return refuse(400, fmt::format("Invalid Request Line 'Invalid HTTP request line: '{}''", text));
  };
  if (const Line line = method(at, end); line != Line::Done) return line == Line::NeedMore ? more() : line;
  const char* target_end = skip_visible(at, end);
  if (target_end == end) return more();
  if (*target_end != ' ' || target_end == at) return bad();
  head_.target = {at, static_cast<std::size_t>(target_end - at)};
  at = target_end + 1;
  if (end - at < 10) {  // "HTTP/1.1\r\n"
    const auto* newline = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
    return newline == nullptr ? more() : bad();
  }
  if (const Line line = version(at, end); line != Line::Done) return line;
  if (too_long(at - 2)) return refuse(414, fmt::format("Request Line is too large ({} > {})", at - 2 - start, limit));
  if (!split_target()) return bad();
  line_at_ = static_cast<std::size_t>(at - base_);
  stage_ = Stage::Fields;
  return Line::Done;
}

HeadParser::Line HeadParser::method(const char*& at, const char* end) {
  const char* const start = at;
  at = skip_token(at, end);
  const std::string_view text(start, static_cast<std::size_t>(at - start));
  if (at == end) return Line::NeedMore;
  if (*at != ' ' || text.empty()) {
    std::string_view shown(start, std::min<std::size_t>(static_cast<std::size_t>(end - start), 64));
    shown = shown.substr(0, shown.find_first_of("\r\n"));
    return refuse(400, fmt::format("Invalid Request Line 'Invalid HTTP request line: '{}''", shown));
  }
  ++at;
  head_.method_text = text;
  if (limits_.casefold_http_method) {
    folded_method_.assign(text);
    for (char& c : folded_method_) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    head_.method_text = folded_method_;
  }
  head_.method = method_of(head_.method_text);
  if (head_.method == Method::Other && !limits_.permit_unconventional_http_method && !conventional(head_.method_text)) {
    return refuse(400, fmt::format("Invalid Method 'Invalid HTTP method: '{}''", text));
  }
  return Line::Done;
}

HeadParser::Line HeadParser::version(const char*& at, const char* end) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool shaped = std::memcmp(at, "HTTP/", 5) == 0 && digit(at[5]) && at[6] == '.' && digit(at[7]) &&
                      at[8] == '\r' && at[9] == '\n';
  if (!shaped) {
    std::string_view shown(at, static_cast<std::size_t>(end - at));
    shown = shown.substr(0, std::min<std::size_t>(shown.find_first_of("\r\n"), 32));
    return refuse(400, fmt::format("Invalid HTTP Version '{}'", shown));
  }
  if (at[5] != '1' && !limits_.permit_unconventional_http_version) {
    return refuse(400, fmt::format("Invalid HTTP Version 'Invalid HTTP Version: ({}, {})'", at[5], at[7]));
  }
  // A higher minor version of 1 is spoken to as 1.1: RFC 9110 section 2.5.
  head_.version_minor = at[5] == '1' && at[7] == '0' ? 0 : 1;
  at += 10;
  return Line::Done;
}

// RFC 9112 section 3.2: which form the target must have depends on the method.
bool HeadParser::split_target() {
  std::string_view target = head_.target;
  if (target.find('#') != std::string_view::npos) return false;
  if (head_.method == Method::Connect) {
    const std::size_t colon = target.rfind(':');
    head_.path = target;
    return colon != std::string_view::npos && colon > 0 && colon + 1 < target.size() && valid_host(target);
  }
  if (target == "*") {
    head_.path = target;
    return head_.method == Method::Options;
  }
  if (target.front() != '/') return absolute_form(target);
  const std::size_t question = target.find('?');
  head_.path = target.substr(0, question);
  if (question != std::string_view::npos) head_.query = target.substr(question + 1);
  return true;
}

bool HeadParser::absolute_form(std::string_view target) {
  const std::size_t scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos || scheme_end == 0) return false;
  for (const char c : target.substr(0, scheme_end)) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
                      c == '-' || c == '.';
    if (!good) return false;
  }
  std::string_view rest = target.substr(scheme_end + 3);
  const std::size_t path_at = std::min(rest.find_first_of("/?"), rest.size());
  head_.authority = rest.substr(0, path_at);
  if (head_.authority.empty() || !valid_host(head_.authority)) return false;
  rest.remove_prefix(path_at);
  const std::size_t question = rest.find('?');
  head_.path = rest.substr(0, question);
  if (head_.path.empty()) head_.path = "/";
  if (question != std::string_view::npos) head_.query = rest.substr(question + 1);
  return true;
}

// ---- fields ----------------------------------------------------------------------------------------

HeadParser::Line HeadParser::field_line(const char* at, const char* end) {
  const char* const start = at;
  if (*at == '\r') {
    if (end - at < 2) return Line::NeedMore;
    if (at[1] != '\n') return refuse(400, "Invalid HTTP header name: '\\r'");
    head_.head_bytes = static_cast<std::size_t>(at + 2 - base_);
    return Line::End;
  }
  if (*at == ' ' || *at == '\t') return fold(at, end);
  const auto more = [&] {
    if (static_cast<std::size_t>(end - start) <= limits_.field_bound()) return Line::NeedMore;
    return refuse(431, "Error parsing headers: 'limit request headers fields size'");
  };
  const char* name_end = skip_token(at, end);
  if (name_end == end) return more();
  const char* colon = name_end;
  if (limits_.strip_header_spaces) {
    while (colon != end && (*colon == ' ' || *colon == '\t')) ++colon;
    if (colon == end) return more();
  }
  const std::string_view name(at, static_cast<std::size_t>(name_end - at));
  if (*colon != ':' || name.empty()) {
    std::string_view shown(at, static_cast<std::size_t>(end - at));
    shown = shown.substr(0, std::min<std::size_t>(shown.find_first_of(":\r\n"), 64));
    return refuse(400, fmt::format("Invalid HTTP header name: '{}'", shown));
  }
  std::string_view value;
  const char* next = nullptr;
  if (const Line line = value_of(colon + 1, end, value, next); line != Line::Done) {
    return line == Line::NeedMore ? more() : refuse(400, fmt::format("Invalid HTTP Header: '{}'", name));
  }
  if (static_cast<std::size_t>(next - start) > limits_.field_bound()) {
    return refuse(431, "Error parsing headers: 'limit request headers fields size'");
  }
  if (head_.fields.size() >= limits_.fields_bound()) {
    return refuse(431, "Error parsing headers: 'limit request headers fields'");
  }
  head_.fields.push_back({name, value, known_field(name)});
  line_at_ = static_cast<std::size_t>(next - base_);
  return Line::Done;
}

// From behind the colon to the end of the line; HTAB is the one control character that may stand.
HeadParser::Line HeadParser::value_of(const char* at, const char* end, std::string_view& value, const char*& next) {
  const char* const start = at;
  for (;;) {
    at = find_control(at, end);
    if (at == end) return Line::NeedMore;
    if (*at != '\t') break;
    ++at;
  }
  if (*at != '\r') return Line::Error;
  if (at + 1 == end) return Line::NeedMore;
  if (at[1] != '\n') return Line::Error;
  value = trim({start, static_cast<std::size_t>(at - start)});
  next = at + 2;
  return Line::Done;
}

HeadParser::Line HeadParser::fold(const char* at, const char* end) {
  if (head_.fields.empty()) return refuse(400, "Invalid HTTP header name: ' '");
  Field& field = head_.fields.back();
  if (!limits_.permit_obsolete_folding) {
    return refuse(400, fmt::format("Obsolete line folding is unacceptable: '{}'", field.name));
  }
  std::string_view more;
  const char* next = nullptr;
  if (const Line line = value_of(at, end, more, next); line != Line::Done) {
    if (line == Line::Error) return refuse(400, fmt::format("Invalid HTTP Header: '{}'", field.name));
    if (static_cast<std::size_t>(end - at) <= limits_.field_bound()) return Line::NeedMore;
    return refuse(431, "Error parsing headers: 'limit request headers fields size'");
  }
  if (field.value.size() + more.size() > limits_.field_bound()) {
    return refuse(431, "Error parsing headers: 'limit request headers fields size'");
  }
  unfolded_.push_back(std::string(field.value).append(" ").append(more));
  field.value = unfolded_.back();
  line_at_ = static_cast<std::size_t>(next - base_);
  return Line::Done;
}

// ---- framing ---------------------------------------------------------------------------------------

HeadParser::Status HeadParser::frame() {
  if (!check_host() || !check_transfer_coding() || !check_length() || !check_expect()) return Status::Error;
  check_connection();
  return Status::Done;
}

// RFC 9112 section 3.2: one valid Host in HTTP/1.1; never two.
bool HeadParser::check_host() {
  const Field* host = nullptr;
  bool content_type = false;
  for (const Field& field : head_.fields) {
    const bool twice = (field.known == KnownField::Host && host != nullptr) ||
                       (field.known == KnownField::ContentType && content_type);
    if (twice) return refuse(400, fmt::format("Invalid HTTP Header: '{}'", field.name)), false;
    if (field.known == KnownField::Host) host = &field;
    if (field.known == KnownField::ContentType) content_type = true;
  }
  if ((host == nullptr && head_.version_minor >= 1) || (host != nullptr && !valid_host(host->value))) {
    return refuse(400, "Invalid HTTP Header: 'HOST'"), false;
  }
  return true;
}

// RFC 9112 section 6.3: chunked last and once, never together with Content-Length, not in HTTP/1.0.
bool HeadParser::check_transfer_coding() {
  bool any = false;
  bool after_chunked = false;
  bool unknown = false;
  std::string_view shown;
  for (const Field& field : head_.fields) {
    if (field.known != KnownField::TransferEncoding) continue;
    any = true;
    shown = field.value;
    for_each_member(field.value, [&](std::string_view coding) {
      after_chunked |= head_.chunked;
      if (equals_lower(coding, "chunked")) {
        head_.chunked = true;
      } else if (equals_lower(coding, "gzip") || equals_lower(coding, "deflate") || equals_lower(coding, "compress") ||
                 equals_lower(coding, "identity")) {
        head_.must_close = true;  // passed on undecoded, as Gunicorn does
      } else {
        unknown = true;
      }
    });
  }
  if (!any) return true;
  if (unknown) return refuse(501, fmt::format("Unsupported transfer coding: '{}'", shown)), false;
  if (!head_.chunked || after_chunked || head_.version_minor == 0) {
    return refuse(400, "Invalid HTTP Header: 'TRANSFER-ENCODING'"), false;
  }
  return true;
}

bool HeadParser::check_length() {
  for (const Field& field : head_.fields) {
    if (field.known != KnownField::ContentLength) continue;
    const auto length = parse_content_length(field.value);
    if (!length || head_.length || head_.chunked) {
      return refuse(400, "Invalid HTTP Header: 'CONTENT-LENGTH'"), false;
    }
    head_.length = length;
    head_.content_length = *length;
  }
  return true;
}

// RFC 9112 section 9.3, over every member of every Connection field.
void HeadParser::check_connection() {
  bool close = head_.must_close;
  bool keep = false;
  for (const Field& field : head_.fields) {
    if (field.known != KnownField::Connection) continue;
    for_each_member(field.value, [&](std::string_view option) {
      close |= equals_lower(option, "close");
      keep |= equals_lower(option, "keep-alive");
    });
  }
  head_.keep_alive = !close && (head_.version_minor >= 1 || keep) && head_.method != Method::Connect;
}

bool HeadParser::check_expect() {
  if (head_.version_minor == 0) return true;  // RFC 9110 section 10.1.1
  for (const Field& field : head_.fields) {
    if (field.known != KnownField::Expect) continue;
    if (!equals_lower(field.value, "100-continue")) {
      return refuse(417, fmt::format("Unable to comply with expectation: '{}'", field.value)), false;
    }
    head_.expect_continue = true;
  }
  return true;
}

}  // namespace tricorn::http::h1
