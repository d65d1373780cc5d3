// The access log: one line a request, in Gunicorn's format language.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "http/message.h"

namespace tricorn::worker {

/// What a line can say about one request.
struct AccessFacts {
  const http::RequestHead* head = nullptr;
  PyObject* environ = nullptr;       ///< borrowed; needed when wants_environ()
  std::string_view remote_address;   ///< empty for a unix socket
  std::string_view response_fields;  ///< "Name: value\r\n" lines
  std::string_view status;           ///< "200"
  std::uint64_t body_bytes = 0;
  std::int64_t duration_ns = 0;
};

/// Compiles a format once, writes lines in batches. Lines of one batch are one write(2); what the
/// reader does not take at once is dropped and counted. Any thread.
class AccessLog {
 public:
  AccessLog() = default;
  /// @param path  "-" for stdout, empty: off; else a file that is created and appended to
  /// @param format  access_log_format: %(name)s atoms, %% for a percent sign
  base::Result<void> open(const std::string& path, std::string_view format);
  base::Result<void> reopen();
  [[nodiscard]] bool enabled() const { return !path_.empty(); }
  /// The format has atoms of the form %({name}e)s.
  [[nodiscard]] bool wants_environ() const { return wants_environ_; }

  /// Adds the line of one request. The caller holds the GIL.
  void add(const AccessFacts& facts);
  /// Writes what was added. Called before the worker waits, so a line is never late.
  void flush();

 private:
  enum class Atom : std::uint8_t {
    Text,
    RemoteAddress,
    Dash,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    BodyBytes,
    BodyBytesOrDash,
    Referer,
    UserAgent,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    Pid,
    RequestField,
    ResponseField,
    EnvironKey,
  };
  struct Piece {
    Atom atom;
    std::string text;  // literal, or the lower-case name of a field
  };

  void add_text_piece(std::string_view text);
  void append(std::string& line, const Piece& piece, const AccessFacts& facts);
  static Atom atom_of(std::string_view name, std::string& argument);

  std::vector<Piece> pieces_;
  std::string path_;
  bool wants_environ_ = false;
  base::UniqueFd file_;
  std::mutex mutex_;
  std::string pending_;
  std::uint64_t dropped_ = 0;
};

}  // namespace tricorn::worker
