// The error log: Gunicorn's line format, or JSON, written without ever blocking the process that
// logs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/outlet.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::base {

enum class Level { Debug, Info, Warning, Error, Critical };

/// The level a --log-level names, any case; an unknown name means Info, as in Gunicorn.
[[nodiscard]] Level level_from(std::string_view name);

/// How lines look: Gunicorn's text, or one JSON object each.
enum class Style { Text, Json };

/// What a line says besides its message; shown by Style::Json only.
struct Field {
  std::string_view name;  ///< by the OpenTelemetry or ECS conventions where they have one
  std::string value;
  bool number = false;  ///< written without quotes
};

/// One event of the error log.
struct Record {
  Level level = Level::Info;
  std::string_view message;
  pid_t pid = 0;               ///< whom the line speaks for; 0: this process
  std::string_view tail = {};  ///< lines that belong to it, each ended by a newline: a traceback
  std::span<const Field> fields = {};
};

/// "[2026-11-23 10:00:00 +0000] [pid] [LEVEL] message\n", then the tail. Pure: the same input gives
/// the same line.
/// @param wall  seconds since the epoch; printed in local time
[[nodiscard]] std::string format_line(std::time_t wall, const Record& record);
/// The same as one JSON object and a newline. @param wall  printed in UTC
[[nodiscard]] std::string format_json(const timespec& wall, const Record& record);
/// Appends `"name":value` pairs, each behind a comma.
void append_fields(std::string& json, std::span<const Field> fields);
/// "2026-11-23T10:00:00.123456Z". Source: RFC 3339
[[nodiscard]] std::string rfc3339(const timespec& wall);

/// Takes a copy of each line, beside the file; must not block.
class LineSink {
 public:
  virtual ~LineSink() = default;
  virtual void take(const Record& record) = 0;
  /// Writes what is pending. @return whether there is nothing left to do
  virtual bool flush() = 0;
  /// What became of lines since the last call that the operator must know; empty: nothing.
  virtual std::string complaint() = 0;
};

struct LogOptions {
  std::string path = "-";  ///< "-" for stderr, else a file that is created and appended to
  Level threshold = Level::Info;
  Style style = Style::Text;
};

/// Writes lines to one destination. A reader that does not read costs lines, never time: what the
/// Outlet cannot keep is dropped and counted, and the count is logged when it takes lines again.
/// Any thread, once it is open.
class Log {
 public:
  /// Logs to stderr at Info until open() is called.
  Log() { outlet_.share(2); }

  Result<void> open(const LogOptions& options);
  /// Opens the same path again (USR1, after logrotate moved the file). Keeps the old one on
  /// failure.
  Result<void> reopen() { return outlet_.reopen(); }
  /// Each line goes to `sink` as well: syslog. Null: no more. Before other threads log.
  void set_sink(std::unique_ptr<LineSink> sink) { sink_ = std::move(sink); }
  /// Called for each line that is logged, before it is written: statsd counts them.
  void on_line(std::function<void(const Record&)> told) { on_line_ = std::move(told); }
  /// From now on lines that are enabled() go to Python's logging over `channel`, a SEQPACKET end;
  /// those it does not take at once are written here and counted. Not valid: no more.
  /// Before other threads log. @return the channel until now
  UniqueFd divert(UniqueFd channel) { return std::exchange(channel_, std::move(channel)); }
  [[nodiscard]] bool diverted() const { return channel_.valid(); }

  [[nodiscard]] bool enabled(Level level) const { return level >= options_.threshold; }
  void set_threshold(Level threshold) { options_.threshold = threshold; }
  void write(const Record& record) const;
  /// Logs as this process.
  void write(Level level, std::string_view message) const { write(Record{level, message}); }
  /// Bytes as they are, e.g. what the application wrote to wsgi.errors.
  void write_raw(std::string_view bytes) const;
  /// Writes what a slow reader did not take; says what was dropped once it takes lines again.
  void flush() const;
  /// A reader is slow: flush() again in a while.
  [[nodiscard]] bool behind() const { return outlet_.behind() || sink_behind_.load(); }

  void debug(std::string_view message) const { write(Level::Debug, message); }
  void info(std::string_view message) const { write(Level::Info, message); }
  void warning(std::string_view message) const { write(Level::Warning, message); }
  void error(std::string_view message) const { write(Level::Error, message); }
  void critical(std::string_view message) const { write(Level::Critical, message); }

  /// The descriptor lines go to, for a child that shall share it.
  [[nodiscard]] int fd() const { return outlet_.fd(); }

 private:
  void put(const Record& record) const;
  [[nodiscard]] bool send(const Record& record) const;

  LogOptions options_;
  mutable Outlet outlet_;
  std::unique_ptr<LineSink> sink_;
  mutable std::atomic<bool> sink_behind_{false};
  std::function<void(const Record&)> on_line_;
  UniqueFd channel_;
  mutable std::atomic<std::uint64_t> undelivered_{0};
};

}  // namespace tricorn::base
