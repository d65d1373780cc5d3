// Where log bytes go: a file, a pipe, a terminal or a socket. Writing never waits for the reader.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::base {

/// Bytes kept for a reader that is slow, beyond what the kernel keeps; more is dropped and counted.
inline constexpr std::size_t kOutletPendingMax = 256 * 1024;

/// A destination for whole lines. Any thread.
///
/// Several processes write to one pipe: up to PIPE_BUF bytes of whole lines go with one write(2),
/// which the kernel never mixes with others'; a longer line is one write of its own, which can be
/// torn only where the pipe was full at that moment. Source: pipe(7).
class Outlet {
 public:
  Outlet() = default;

  /// @param path  a file, created with mode 0666 less the umask and appended to
  Result<void> open_file(const std::string& path);
  /// Shares `fd` (stdout or stderr), which stays the caller's and whose flags stay as they are:
  /// others use it too. A pipe or a terminal is opened once more, for O_NONBLOCK of our own.
  void share(int fd);
  /// Opens the file again after logrotate moved it; keeps the old one on failure.
  Result<void> reopen();

  /// Adds lines, each ended by a newline, and writes what the reader takes.
  void write(std::string_view lines);
  /// Writes what is pending. @return whether all of it went
  bool flush();
  /// Something is pending or was dropped: flush() again in a while.
  [[nodiscard]] bool behind() const { return behind_.load(std::memory_order_relaxed); }
  /// Lines dropped since the last call, once the reader takes lines again; 0 while it does not.
  std::uint64_t take_dropped();

  /// The descriptor lines go to, for somebody who writes to it directly.
  [[nodiscard]] int fd() const { return fd_; }

 private:
  enum class Way { Direct, NonBlocking, Socket, Shared };

  bool flush_locked();
  ssize_t write_once(std::string_view bytes) const;

  std::mutex mutex_;
  UniqueFd owned_;
  int fd_ = -1;
  Way way_ = Way::Direct;
  std::string path_;  // empty: shared
  std::string pending_;
  std::uint64_t dropped_ = 0;
  bool flows_ = true;  // the last write went
  std::atomic<bool> behind_{false};
};

}  // namespace tricorn::base
