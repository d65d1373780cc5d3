#include "arbiter/farewell.h"

#include <fmt/format.h>

namespace tricorn::arbiter {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 408:
      return "Request Timeout";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

// IMF-fixdate; the arbiter never sets a locale, so strftime speaks English. Source: RFC 9110
// section 5.6.7.
std::string date_of(std::time_t wall) {
  std::tm utc{};
  ::gmtime_r(&wall, &utc);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, size};
}

}  // namespace

std::string farewell(int status, std::string_view reference, std::time_t wall) {
  const std::string_view reason = reason_of(status);
  const std::string body = fmt::format(
      "<html>\n  <head>\n    <title>{0}</title>\n  </head>\n  <body>\n    <h1><p>{0}</p></h1>\n"
      "    Reference: {1}\n  </body>\n</html>\n",
      reason, reference);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nConnection: close\r\nDate: {}\r\nContent-Type: "
      "text/html\r\nX-Reference-Id: {}\r\n"
      "{}Content-Length: {}\r\n\r\n{}",
      status, reason, date_of(wall), reference, status == 503 ? "Retry-After: 1\r\n" : "",
      body.size(), body);
}

}  // namespace tricorn::arbiter
