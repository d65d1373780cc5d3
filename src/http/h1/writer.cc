#include "http/h1/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "http/h1/scan.h"

namespace tricorn::http::h1 {
namespace {

void append_decimal(std::string& out, std::uint64_t value) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

constexpr std::array<std::string_view, 11> kServerOwned{
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",    "trailers",
    "trailer",    "transfer-encoding", "upgrade",     "server",              "date"};

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#x27;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

Framing frame(const ResponseFacts& facts) {
  Framing framing;
  const bool body_allowed = status_has_body(facts.status);
  framing.send_body = body_allowed && facts.method != Method::Head;
  // HEAD and 304 may say how long the body would be; 1xx and 204 must not.
  framing.send_length = facts.content_length.has_value() && facts.status >= 200 && facts.status != 204;
  framing.chunked = body_allowed && !framing.send_length && facts.version_minor >= 1;
  const bool delimited = framing.send_length || framing.chunked || !framing.send_body;
  framing.keep_alive = facts.client_keeps_alive && delimited && facts.status >= 200;
  return framing;
}

void append_head(std::string& out, const ResponseFacts& facts, const Framing& framing, std::string_view status_text,
                 std::string_view fields) {
  out.append(facts.version_minor == 0 ? "HTTP/1.0 " : "HTTP/1.1 ").append(status_text);
  out.append("\r\nServer: tricorn\r\nDate: ").append(http_date(std::time(nullptr)));
  if (!framing.keep_alive) {
    out.append("\r\nConnection: close\r\n");
  } else {
    // 1.1 persists by itself; 1.0 needs to be told. Source: RFC 9112 section 9.3, appendix C.2.2.
    out.append(facts.version_minor == 0 ? "\r\nConnection: keep-alive\r\n" : "\r\n");
  }
  if (framing.chunked) out.append("Transfer-Encoding: chunked\r\n");
  out.append(fields);
  if (framing.send_length) {
    out.append("Content-Length: ");
    append_decimal(out, *facts.content_length);
    out.append("\r\n\r\n");
  } else {
    out.append("\r\n");
  }
}

void append_chunk_head(std::string& out, std::size_t bytes) {
  char digits[18];
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
  if (status[1] < '0' || status[1] > '9' || status[2] < '0' || status[2] > '9') return false;
  if (status.size() == 3) return true;
  return status[3] == ' ' && find_control(status.data(), status.data() + status.size()) == status.data() + status.size();
}

bool is_server_owned(std::string_view name) {
  if (name.size() < 2) return false;
  // Letters that begin one of the names: most fields stop here.
  switch (name[0] | 0x20) {
    case 'c': case 'd': case 'k': case 'p': case 's': case 't': case 'u': break;
    default: return false;
  }
  return std::any_of(kServerOwned.begin(), kServerOwned.end(),
                     [name](std::string_view owned) { return equals_lower(name, owned); });
}

std::string_view reason_phrase(int status) {
  static constexpr std::pair<int, std::string_view> kReasons[] = {
      {400, "Bad Request"},        {403, "Forbidden"},          {404, "Not Found"},
      {405, "Method Not Allowed"}, {408, "Request Timeout"},    {413, "Content Too Large"},
      {414, "URI Too Long"},       {417, "Expectation Failed"}, {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
      {503, "Service Unavailable"}, {504, "Gateway Timeout"},   {505, "HTTP Version Not Supported"},
  };
  for (const auto& [known, reason] : kReasons) {
    if (known == status) return reason;
  }
  return "Unknown";
}

std::string_view http_date(std::time_t now) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t cached = -1;
  thread_local std::string text;
  if (now != cached) {
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon],
                       utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    cached = now;
  }
  return text;
}

std::string error_page(int status, std::string_view message, std::string_view reference) {
  const std::string_view reason = reason_phrase(status);
  std::string text = escape_html(message);
  if (!reference.empty()) text += fmt::format("{}Reference: {}", text.empty() ? "" : " ", reference);
  const std::string body = fmt::format(
      "<html>\n  <head>\n    <title>{0}</title>\n  </head>\n  <body>\n    <h1><p>{0}</p></h1>\n    {1}\n  </body>\n</html>\n",
      reason, text);
  const std::string extra = reference.empty() ? std::string() : fmt::format("X-Reference-Id: {}\r\n", reference);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nConnection: close\r\nDate: {}\r\nContent-Type: text/html\r\n{}Content-Length: {}\r\n\r\n{}",
      status, reason, http_date(std::time(nullptr)), extra, body.size(), body);
}

}  // namespace tricorn::http::h1
