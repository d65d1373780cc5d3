// The access log: one line a request, in Gunicorn's format language.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/outlet.h"
#include "base/result.h"
#include "http/message.h"

namespace tricorn::worker {

/// What a line can say about one request.
struct AccessFacts {
  const http::RequestHead* head = nullptr;
  PyObject* environ =
      nullptr;  ///< borrowed; as the application left it; needed when wants_environ()
  std::string_view remote_address;   ///< empty for a unix socket
  std::string_view response_fields;  ///< "Name: value\r\n" lines
  std::string_view status;           ///< "200"
  std::uint64_t body_bytes = 0;
  std::int64_t duration_ns = 0;
};

struct AccessLogOptions {
  std::string path;    ///< "-" for stdout, empty: off; else a file, created and appended to
  std::string format;  ///< access_log_format: %(name)s atoms, %% for a percent sign
  base::Style style = base::Style::Text;  ///< Json: fields instead of the format
};

/// Compiles a format once, writes lines in batches. What the reader does not take and the Outlet
/// cannot keep is dropped and counted. Any thread.
class AccessLog {
 public:
  AccessLog() = default;
  base::Result<void> open(const AccessLogOptions& options);
  base::Result<void> reopen() { return outlet_.reopen(); }
  [[nodiscard]] bool enabled() const { return enabled_; }
  /// Somebody else writes the lines.
  void disable() { enabled_ = false; }
  /// Each line goes to `sink` as well, or only there when there is no path. Before open().
  void set_sink(std::unique_ptr<base::LineSink> sink) { sink_ = std::move(sink); }
  /// The format has atoms that are read from the environ, as the application left it.
  [[nodiscard]] bool wants_environ() const { return wants_environ_; }

  /// Adds the line of one request. The caller holds the GIL.
  void add(const AccessFacts& facts);
  /// Writes what was added. Called before the worker waits, so a line is never late.
  void flush();
  /// The reader is slow: flush() again in a while.
  [[nodiscard]] bool behind() const { return outlet_.behind() || sink_behind_.load(); }
  /// Lines dropped since the last call, once the reader takes lines again.
  std::string complaint() { return sink_ != nullptr ? sink_->complaint() : std::string(); }
  std::uint64_t take_dropped() { return outlet_.take_dropped(); }

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
    Atom atom = Atom::Text;
    std::string text = {};  // literal, or the lower-case name of a field
    // printf's "%-10.8s", as far as Python's % has it too
    std::size_t width = 0;
    std::size_t most = std::string::npos;
    bool left = false;
    char pad = ' ';
  };

  base::Result<void> compile(std::string_view format);
  static base::Result<Piece> read_atom(std::string_view& format);
  void add_text_piece(std::string_view text);
  static void append(std::string& line, const Piece& piece, const AccessFacts& facts);
  std::string json(const AccessFacts& facts) const;
  static void append_value(std::string& line, const Piece& piece, const AccessFacts& facts);
  static Atom atom_of(std::string_view name, std::string& argument);

  std::vector<Piece> pieces_;
  bool enabled_ = false;
  bool wants_environ_ = false;
  bool wants_query_ = false;
  base::Style style_ = base::Style::Text;
  base::Outlet outlet_;
  bool to_outlet_ = false;
  std::unique_ptr<base::LineSink> sink_;
  std::atomic<bool> sink_behind_{false};
  std::mutex mutex_;
  std::string pending_;
};

}  // namespace tricorn::worker
