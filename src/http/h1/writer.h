// The bytes of an HTTP/1 response: head, chunk framing, error page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace tricorn::http::h1 {

/// Interim answer to Expect: 100-continue. Source: RFC 9110 section 10.1.1.
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
/// Behind the data of a chunk. Source: RFC 9112 section 7.1.
inline constexpr std::string_view kChunkEnd = "\r\n";
/// Ends a chunked body; without it the client knows the response was cut.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
/// Behind the data of the last chunk that has any.
inline constexpr std::string_view kLastChunkAfterData = "\r\n0\r\n\r\n";

// ---- what the application gives
// ----------------------------------------------------------------------

/// Three digits, the first one 1 to 5, optionally a space and a reason of HTAB, SP, VCHAR,
/// obs-text. Source: RFC 9112 section 4, PEP 3333.
[[nodiscard]] bool valid_status(std::string_view status);
/// True for fields the server writes itself, and hop-by-hop ones: the application's are dropped.
/// Source: PEP 3333 "Other HTTP Features", RFC 9110 section 7.6.1, gunicorn.md section 6.4.
[[nodiscard]] bool is_server_owned(std::string_view name);

// ---- how the body is framed
// --------------------------------------------------------------------------

/// What framing depends on.
struct ResponseFacts {
  Method method = Method::Get;  ///< of the request
  int version_minor = 1;        ///< of the request
  int status = 200;
  std::optional<std::uint64_t>
      content_length;              ///< the application's, or the known length of the whole body
  bool client_keeps_alive = true;  ///< the request's wish, and the server may
};

/// How the body goes over the wire. Rules 15 to 17 of docs/http-differences.md.
struct Framing {
  bool send_body = true;
  bool chunked = false;
  bool keep_alive = false;
  bool send_length = false;  ///< a Content-Length field is written
  std::uint64_t length = 0;  ///< its value
};

/// Decides from the facts alone.
/// Source: RFC 9112 sections 6.1, 6.3, 9.3; RFC 9110 sections 8.6, 9.3.2, 15.
[[nodiscard]] Framing frame(const ResponseFacts& facts);

// ---- bytes
// ---------------------------------------------------------------------------------------------

/// The usual words for a status code, "Unknown" for one we do not know. Source: RFC 9110 section
/// 15, RFC 6585.
[[nodiscard]] std::string_view reason_phrase(int status);

/// IMF-fixdate, 29 bytes; made once a second and thread, valid until the next call on this thread.
/// @param now  seconds since the epoch. Source: RFC 9110 section 5.6.7.
[[nodiscard]] std::string_view http_date(std::time_t now);
/// Whole head: status line, Server, Date, Connection, framing, then the application's lines, then
/// CRLF.
/// @param status_text  e.g. "200 OK", checked by valid_status()
/// @param fields  the application's "Name: value\r\n" lines, checked, without those dropped
void append_head(std::string& into, const ResponseFacts& facts, const Framing& framing,
                 std::string_view status_text, std::string_view fields);
/// Size line of a chunk. @param bytes  above 0: a chunk of 0 bytes would end the body
void append_chunk_head(std::string& into, std::size_t bytes);

/// A whole response in Gunicorn's words that ends the connection.
/// @param message  shown in the page, escaped here; may be empty
/// @param reference  letters and digits, e.g. "7f3a9c": shown in the page and as X-Reference-Id;
/// empty: none Source: gunicorn.md section 6.3.
[[nodiscard]] std::string error_page(int status, std::string_view message,
                                     std::string_view reference);

}  // namespace tricorn::http::h1
