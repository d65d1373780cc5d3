// The head of an HTTP/1 request: request line, fields, and what they say about framing.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "http/limits.h"
#include "http/message.h"

namespace tricorn::http::h1 {

/// Parses one head, fed with everything received so far. Strict by RFC 9112; where that is stricter
/// than Gunicorn it is listed in docs/http-differences.md. No I/O, no Python; one thread.
class HeadParser {
 public:
  enum class Status { NeedMore, Done, Error };

  explicit HeadParser(const Limits& limits);

  /// @param bytes  all bytes since the start of this request, old ones included; may have moved in memory
  ///   since the last call, must not have changed. Work is linear in the bytes, however they arrive.
  /// @return Done: head() is valid while `bytes` stays; Error: refusal() says why
  Status feed(std::string_view bytes);

  [[nodiscard]] const RequestHead& head() const { return head_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  /// Forgets everything but the limits.
  void reset();

 private:
  enum class Stage { Start, RequestLine, Fields };
  enum class Line { Done, NeedMore, Error, End };

  Status step(const char* end);
  Line request_line(const char* at, const char* end);
  Line method(const char*& at, const char* end);
  Line version(const char*& at, const char* end);
  Line field_line(const char* at, const char* end);
  Line value_of(const char* at, const char* end, std::string_view& value, const char*& next);
  Line fold(const char* at, const char* end);
  bool split_target();
  bool absolute_form(std::string_view rest);
  Status frame();
  bool check_host();
  bool check_length();
  bool check_transfer_coding();
  void check_connection();
  bool check_expect();
  void rebase(const char* base);
  Line refuse(int status, std::string message);

  Limits limits_;
  RequestHead head_;
  Refusal refusal_;
  std::string folded_method_;          // casefold_http_method
  std::deque<std::string> unfolded_;   // permit_obsolete_folding: values that are not contiguous
  const char* base_ = nullptr;
  std::size_t line_at_ = 0;   // start of the line that is being read
  std::size_t scanned_ = 0;   // no line end before this
  Stage stage_ = Stage::Start;
  bool skipped_empty_line_ = false;
};

}  // namespace tricorn::http::h1
