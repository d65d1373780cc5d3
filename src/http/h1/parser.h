// The head of an HTTP/1 request: request line, fields, and what they say about framing.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "http/h1/framing.h"
#include "http/limits.h"
#include "http/message.h"

namespace tricorn::http::h1 {

/// Parses one head, fed with everything received so far. Strict by RFC 9112; where that is stricter
/// than Gunicorn it is listed in docs/http-differences.md. No I/O, no Python; one thread.
///
/// A line is judged when its LF is there or when it is longer than it may be, so the outcome does
/// not depend on how the bytes were cut.
///
///   RequestLine ──line──▶ Fields ──empty line──▶ Done        any breach ▶ Refused
class HeadParser {
 public:
  enum class Status { NeedMore, Done, Error };

  explicit HeadParser(const Limits& limits);

  /// @param bytes  all bytes since the start of this request, old ones included; may have moved in
  /// memory
  ///   since the last call, must not have changed. Work is linear in the bytes, however they
  ///   arrive.
  /// @return Done: head() is valid while `bytes` stays; Error: refusal() says why. Both stay until
  /// reset().
  Status feed(std::string_view bytes);

  [[nodiscard]] const RequestHead& head() const { return head_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  /// Forgets everything but the limits.
  void reset();

 private:
  enum class Stage : std::uint8_t { RequestLine, Fields, Done, Refused };
  // What stopped the reading of a line. Any of them may only mean that the line is not all here.
  enum class Fault : std::uint8_t {
    None,
    RequestLine,
    Target,
    Method,
    Version,
    Name,
    Value,
    TooLong,
    TooMany
  };

  [[nodiscard]] bool no_new_line(std::string_view bytes);
  Fault read_lines(const char* end);
  Fault request_line(const char* at, const char* end);
  Fault method(std::string_view text);
  Fault version(const char*& at, const char* end);
  Fault fields(const char* end);
  Status finish();

  [[nodiscard]] std::size_t bound() const;
  [[nodiscard]] std::string_view complete_line(const char* end) const;
  Status stop(Fault fault, const char* end);
  bool unfold(std::string_view line);
  Status refuse(int status, std::string message);
  Status refuse_too_long(std::size_t bytes);
  Status refuse_line(Fault fault, std::string_view line);
  Status refuse_version(std::string_view line);
  Status refuse_name(std::string_view line);
  void rebase(const char* base);

  Limits limits_;
  std::size_t line_bound_;  // with CRLF, as the next one
  std::size_t field_bound_;
  std::size_t fields_bound_;
  RequestHead head_;
  Refusal refusal_;
  FieldsSeen seen_;
  HostMemo host_;
  std::string folded_method_;         // casefold_http_method
  std::deque<std::string> unfolded_;  // permit_obsolete_folding: values that are not contiguous
  const char* base_ = nullptr;
  std::size_t line_at_ = 0;  // start of the line that is being read
  std::size_t scanned_ = 0;  // no LF between line_at_ and here
  Stage stage_ = Stage::RequestLine;
};

}  // namespace tricorn::http::h1
