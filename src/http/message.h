// One request's head as the rest of the server sees it. Views point into the caller's receive
// buffer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tricorn::http {

enum class Method : std::uint8_t {
  Get,
  Head,
  Post,
  Put,
  Delete,
  Options,
  Patch,
  Connect,
  Trace,
  Other
};

/// Field names the parser recognises, so that nobody has to compare names again.
enum class KnownField : std::uint8_t {
  Accept,
  AcceptCharset,
  AcceptEncoding,
  AcceptLanguage,
  Authorization,
  CacheControl,
  Connection,
  ContentLength,
  ContentType,
  Cookie,
  Expect,
  Forwarded,
  Host,
  IfModifiedSince,
  IfNoneMatch,
  KeepAlive,
  Origin,
  Pragma,
  Range,
  Referer,
  Te,
  TransferEncoding,
  Upgrade,
  UserAgent,
  XForwardedFor,
  XForwardedHost,
  XForwardedProto,
  XRealIp,
  XRequestId,
  XRequestedWith,
  Other,
};
inline constexpr std::size_t kKnownFields = static_cast<std::size_t>(KnownField::Other);

/// Names of the known fields as they are usually written, in the order of KnownField.
inline constexpr std::array<std::string_view, kKnownFields> kFieldNames{"Accept",
                                                                        "Accept-Charset",
                                                                        "Accept-Encoding",
                                                                        "Accept-Language",
                                                                        "Authorization",
                                                                        "Cache-Control",
                                                                        "Connection",
                                                                        "Content-Length",
                                                                        "Content-Type",
                                                                        "Cookie",
                                                                        "Expect",
                                                                        "Forwarded",
                                                                        "Host",
                                                                        "If-Modified-Since",
                                                                        "If-None-Match",
                                                                        "Keep-Alive",
                                                                        "Origin",
                                                                        "Pragma",
                                                                        "Range",
                                                                        "Referer",
                                                                        "TE",
                                                                        "Transfer-Encoding",
                                                                        "Upgrade",
                                                                        "User-Agent",
                                                                        "X-Forwarded-For",
                                                                        "X-Forwarded-Host",
                                                                        "X-Forwarded-Proto",
                                                                        "X-Real-IP",
                                                                        "X-Request-ID",
                                                                        "X-Requested-With"};

/// The name of a known field as it is usually written, e.g. "User-Agent".
[[nodiscard]] std::string_view name_of(KnownField known);

struct Field {
  std::string_view name;   ///< as sent, a token
  std::string_view value;  ///< without surrounding white space
  KnownField known = KnownField::Other;
};

struct RequestHead {
  Method method = Method::Other;
  std::string_view method_text;
  std::string_view target;  ///< as sent
  std::string_view
      path;  ///< origin-form path, percent-encoded as sent; "*" and authority as they are
  std::string_view query;      ///< without '?'
  std::string_view authority;  ///< of an absolute-form target, which replaces Host; else empty
  int version_minor = 1;       ///< HTTP/1.x
  std::vector<Field> fields;   ///< in order of arrival
  std::size_t head_bytes = 0;  ///< up to and including the empty line

  std::optional<std::uint64_t> length;  ///< Content-Length, when given
  std::uint64_t content_length = 0;     ///< 0 when not given or chunked
  bool chunked = false;
  bool keep_alive = false;       ///< what the client wants: RFC 9112 section 9.3
  bool expect_continue = false;  ///< RFC 9110 section 10.1.1
  bool must_close = false;       ///< no further request may be taken from this connection

  /// As new, but for the room in `fields`.
  void clear() {
    fields.clear();
    method = Method::Other;
    method_text = target = path = query = authority = {};
    version_minor = 1;
    head_bytes = 0;
    length.reset();
    content_length = 0;
    chunked = keep_alive = expect_continue = must_close = false;
  }

  /// First field of that name, null when there is none.
  [[nodiscard]] const Field* find(KnownField known) const;
  /// @param name  lower case
  [[nodiscard]] const Field* find(std::string_view name) const;
};

/// Why a request is not acted on; the connection ends after the answer.
struct Refusal {
  int status = 400;
  std::string message;  ///< for the page and the log, in Gunicorn's words
};

/// True for a token: RFC 9110 section 5.6.2. Empty is none.
[[nodiscard]] bool valid_field_name(std::string_view name);
/// True without CR, LF, NUL and other controls; HTAB and obs-text may stand. RFC 9110 section 5.5.
[[nodiscard]] bool valid_field_value(std::string_view value);
/// Digits only, at most 2^63-1: no overflow in whoever counts with a sign. RFC 9110 section 8.6.
[[nodiscard]] std::optional<std::uint64_t> parse_content_length(std::string_view value);
/// Well-formed escapes become bytes, once; everything else stays. Source: RFC 3986 section 2.4, as
/// urllib.parse.unquote reads it.
[[nodiscard]] std::string percent_decode(std::string_view text);
/// The same for texts of one length.
[[nodiscard]] bool same_letters(const char* text, std::string_view lower);
/// Compares a name or token without case; `lower` is lower case.
[[nodiscard]] inline bool equals_lower(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && same_letters(text.data(), lower);
}

}  // namespace tricorn::http
