// The error log: Gunicorn's line format, written without ever blocking the process that logs.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::base {

enum class Level { Debug, Info, Warning, Error, Critical };

/// The level a --log-level names, any case; an unknown name means Info, as in Gunicorn.
[[nodiscard]] Level level_from(std::string_view name);

/// "[2026-11-23 10:00:00 +0000] [pid] [LEVEL] message\n". Pure: the same input gives the same line.
/// @param wall  seconds since the epoch; printed in local time
[[nodiscard]] std::string format_line(std::time_t wall, pid_t pid, Level level,
                                      std::string_view message);

/// Writes lines to one descriptor. A reader that does not read costs lines, never time: what the
/// descriptor does not take at once is dropped and counted, and the count is logged when it takes
/// lines again. Safe to use from several threads: a line is one write(2).
class Log {
 public:
  /// Logs to stderr at Info until open() is called.
  Log() = default;

  /// @param path  "-" for stderr, else a file that is created and appended to
  Result<void> open(const std::string& path, Level threshold);
  /// Opens the same path again (USR1, after logrotate moved the file). Keeps the old one on
  /// failure.
  Result<void> reopen();

  [[nodiscard]] bool enabled(Level level) const { return level >= threshold_; }
  /// Logs as this process.
  void write(Level level, std::string_view message) const;
  /// Logs a line that speaks for `pid`, e.g. what a dead worker could not say itself.
  void write_as(pid_t pid, Level level, std::string_view message) const;
  /// Bytes as they are, e.g. a traceback that belongs to the line before.
  void write_raw(std::string_view bytes) const;

  void debug(std::string_view message) const { write(Level::Debug, message); }
  void info(std::string_view message) const { write(Level::Info, message); }
  void warning(std::string_view message) const { write(Level::Warning, message); }
  void error(std::string_view message) const { write(Level::Error, message); }
  void critical(std::string_view message) const { write(Level::Critical, message); }

  /// The descriptor lines go to, for a child that shall share it.
  [[nodiscard]] int fd() const { return file_.valid() ? file_.get() : 2; }

 private:
  UniqueFd file_;  // not valid: stderr, which we do not own
  std::string path_ = "-";
  Level threshold_ = Level::Info;
  mutable std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace tricorn::base
