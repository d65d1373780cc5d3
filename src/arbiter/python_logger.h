// The process that calls Python's logging for the arbiter (docs/decisions/0012): which one it is,
// and when it is started again after it died.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace tricorn::arbiter {

/// Times are monotonic nanoseconds.
class PythonLogger {
 public:
  /// One that lived as long as this did not die of what it does at its start.
  static constexpr std::int64_t kLongLifeNs = 60'000'000'000;
  static constexpr std::int64_t kFirstPauseNs = 1'000'000'000;
  static constexpr unsigned kPauseDoublings = 5;  // 1 s to 32 s

  [[nodiscard]] pid_t pid() const { return pid_; }
  void started(pid_t pid, std::int64_t now_ns);
  /// It died, or could not be started. @return the pause before the next one: none after a long
  /// life
  std::int64_t ended(std::int64_t now_ns);
  /// When the next one is to be started; INT64_MAX: no need.
  [[nodiscard]] std::int64_t due_ns() const { return due_ns_; }
  /// It has been asked for.
  void asked() { due_ns_ = INT64_MAX; }

  base::UniqueFd channel;  ///< to the next one; lines wait in it. Valid while there is none.

 private:
  pid_t pid_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t due_ns_ = INT64_MAX;
  unsigned ends_ = 0;  // in a row, without a long life
};

}  // namespace tricorn::arbiter
