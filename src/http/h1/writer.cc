#include "http/h1/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "http/h1/scan.h"

namespace tricorn::http::h1 {

using namespace std::string_view_literals;

namespace {

constexpr std::size_t kDateBytes = 29;
constexpr ByteSet kReferenceBytes = alphanumeric_and("-");

// Source: RFC 9110 section 7.6.1, PEP 3333 "Other HTTP Features", gunicorn.md section 6.4.
constexpr std::array<std::string_view, 12> kServerOwned{"connection",
                                                        "date",
                                                        "keep-alive",
                                                        "proxy-authenticate",
                                                        "proxy-authorization",
                                                        "proxy-connection",
                                                        "server",
                                                        "te",
                                                        "trailer",
                                                        "trailers",
                                                        "transfer-encoding",
                                                        "upgrade"};

// Bit n: one of them has n letters.
constexpr std::uint32_t kServerOwnedSizes = [] {
  std::uint32_t sizes = 0;
  for (const std::string_view name : kServerOwned) sizes |= 1U << name.size();
  return sizes;
}();

// Nothing follows the head of these, whatever the application gives. Source: RFC 9110
// sections 15.2, 15.3.5, 15.3.6, 15.4.5.
bool status_has_content(int status) {
  return status >= 200 && status != 204 && status != 205 && status != 304;
}

// A CONNECT that succeeds makes a tunnel of the connection: RFC 9110 section 9.3.6.
bool makes_tunnel(const ResponseFacts& facts) {
  return facts.method == Method::Connect && facts.status >= 200 && facts.status < 300;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#x27;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

void write_date(std::time_t now, char* into) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  fmt::format_to_n(into, kDateBytes, "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday],
                   utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                   utc.tm_sec);
}

// Status line, Server and Date are the same for most answers of a second.
std::string_view head_start(int version_minor, std::string_view status_text) {
  struct Start {
    std::time_t at = -1;
    std::string status;
    std::string text;
  };
  thread_local std::array<Start, 2> starts;
  Start& start = starts[version_minor == 0 ? 0 : 1];
  const std::time_t now = std::time(nullptr);
  if (start.at != now || start.status != status_text) {
    start.at = now;
    start.status = status_text;
    start.text = fmt::format("HTTP/1.{} {}\r\nServer: tricorn\r\nDate: {}\r\n",
                             version_minor == 0 ? 0 : 1, status_text, http_date(now));
  }
  return start.text;
}

}  // namespace

Framing frame(const ResponseFacts& facts) {
  Framing framing;
  const bool tunnel = makes_tunnel(facts);
  const bool may_have_length = facts.status >= 200 && facts.status != 204 && !tunnel;
  framing.send_body = status_has_content(facts.status) && facts.method != Method::Head && !tunnel;
  // HEAD and 304 may say how long the content would be, 205 has none and says so, 1xx and 204 say
  // nothing.
  framing.send_length =
      may_have_length && (facts.content_length.has_value() || facts.status == 205);
  framing.length = facts.status == 205 ? 0 : facts.content_length.value_or(0);
  framing.chunked = framing.send_body && !framing.send_length && facts.version_minor >= 1;
  const bool delimited = framing.send_length || framing.chunked || !framing.send_body;
  framing.keep_alive = facts.client_keeps_alive && delimited && facts.status >= 200 && !tunnel;
  return framing;
}

void append_head(std::string& out, const ResponseFacts& facts, const Framing& framing,
                 std::string_view status_text, std::string_view fields) {
  out.append(head_start(facts.version_minor, status_text));
  // 1.1 persists by itself; 1.0 needs to be told. Source: RFC 9112 section 9.3, appendix C.2.2.
  if (!framing.keep_alive) {
    out.append("Connection: close\r\n"sv);
  } else if (facts.version_minor == 0) {
    out.append("Connection: keep-alive\r\n"sv);
  }
  if (framing.chunked) out.append("Transfer-Encoding: chunked\r\n"sv);
  out.append(fields);
  if (framing.send_length) {
    const fmt::format_int length(framing.length);
    out.append("Content-Length: "sv).append(length.data(), length.size()).append("\r\n\r\n"sv);
  } else {
    out.append("\r\n"sv);
  }
}

void append_chunk_head(std::string& out, std::size_t bytes) {
  char digits[18];  // 16 and CRLF
  char* const end = digits + sizeof digits;
  char* at = end;
  *--at = '\n';
  *--at = '\r';
  do {
    *--at = "0123456789abcdef"[bytes & 15];
    bytes >>= 4;
  } while (bytes != 0);
  out.append(at, static_cast<std::size_t>(end - at));
}

bool valid_status(std::string_view status) {
  if (status.size() < 3 || status[0] < '1' || status[0] > '5') return false;
  if (!is_digit(status[1]) || !is_digit(status[2])) return false;
  return status.size() == 3 || (status[3] == ' ' && valid_field_value(status));
}

bool is_server_owned(std::string_view name) {
  if (name.size() >= 32 || (kServerOwnedSizes >> name.size() & 1) == 0) return false;
  return std::any_of(kServerOwned.begin(), kServerOwned.end(),
                     [name](std::string_view owned) { return equals_lower(name, owned); });
}

std::string_view reason_phrase(int status) {
  static constexpr std::pair<int, std::string_view> kReasons[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {103, "Early Hints"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {402, "Payment Required"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {407, "Proxy Authentication Required"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {426, "Upgrade Required"},
      {428, "Precondition Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {451, "Unavailable For Legal Reasons"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  for (const auto& [known, reason] : kReasons) {
    if (known == status) return reason;
  }
  return "Unknown";
}

std::string_view http_date(std::time_t now) {
  thread_local std::time_t cached = -1;
  thread_local char text[kDateBytes];
  if (now != cached) {
    write_date(now, text);
    cached = now;
  }
  return {text, kDateBytes};
}

std::string error_page(int status, std::string_view message, std::string_view reference) {
  const char* const reference_end = reference.data() + reference.size();
  if (skip(kReferenceBytes, reference.data(), reference_end) != reference_end) reference = {};
  const std::string_view reason = reason_phrase(status);
  std::string text = escape_html(message);
  if (!reference.empty())
    text += fmt::format("{}Reference: {}", text.empty() ? "" : " ", reference);
  const std::string body = fmt::format(
      "<html>\n  <head>\n    <title>{0}</title>\n  </head>\n  <body>\n    <h1><p>{0}</p></h1>\n    "
      "{1}\n  </body>\n</html>\n",
      reason, text);
  const std::string extra =
      reference.empty() ? std::string() : fmt::format("X-Reference-Id: {}\r\n", reference);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nConnection: close\r\nDate: {}\r\nContent-Type: "
      "text/html\r\n{}Content-Length: {}\r\n\r\n{}",
      status, reason, http_date(std::time(nullptr)), extra, body.size(), body);
}

}  // namespace tricorn::http::h1
