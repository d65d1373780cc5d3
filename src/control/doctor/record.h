// Gunicorn's own records: the header in all its ages and states of damage, and what the words say.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "control/doctor/own_words.h"
#include "control/doctor/scan.h"
#include "control/doctor/stamp.h"

namespace tricorn::control::doctor {

enum class Kind : std::uint8_t {
  None,
  Start,  ///< a new arbiter run
  Boot,
  Timeout,
  Leaving,
  Killed,     ///< SIGKILL reported by the arbiter
  Signalled,  ///< any other signal
  Exited,     ///< with a code
  FailedRequest,
  BootException,  ///< "Exception in worker process": a traceback follows
  BootFailed,     ///< "Worker failed to boot", "App failed to load"
  BadClass,       ///< "class uri … invalid or not found": a traceback in brackets follows
  BadConfig,      ///< "Failed to read config file": a traceback follows
  AppStarted,
  AppStartFailed,
  ServerProcess,
  Autorestart,
  StopSignal,  ///< "Handling signal: term|int|quit"
  Reload,
  MoreWorkers,  ///< "Handling signal: ttin"
  Listening,
  RequestTimeout,  ///< Tricorn: one request was ended, its worker lives
  SlowRequest,     ///< Tricorn: it still runs
  Told,            ///< Tricorn: `own` says what of, about a worker when `pid` names one
};

/// Longer paths are not kept: a log may hold anything.
inline constexpr std::size_t kPathBytesMax = 4'096;

/// One record. Views into the line.
struct Record {
  Kind kind = Kind::None;
  bool has_header = false;  ///< "[LEVEL] " was there
  bool by_arbiter = false;  ///< written by the arbiter: `column` is its pid
  Stamp stamp;
  std::size_t begin = 0;     ///< where its stamp's bracket is: what stands before is none of it
  std::int64_t column = -1;  ///< the pid before the level; -1 lost
  std::int64_t pid = -1;     ///< the worker it is about; -1 when it names none
  int number = 0;            ///< exit code or signal
  std::string_view level;
  std::string_view message;
  std::string_view path;       ///< of a failed request, without its query; empty when not told
  bool no_uri = false;         ///< "(no URI read)"
  bool own_kill = false;       ///< Tricorn: the server says that it sent this SIGKILL itself …
  bool after_timeout = false;  ///< … after a time-out
  bool oom_denied = false;     ///< Tricorn: that counter did not rise for it
  bool kernel_oom = false;     ///< Tricorn: the kernel's oom_kill counter rose for it
  OwnWords own;                ///< Tricorn: what its line says of cause, request and place
  std::string_view trouble;    ///< Tricorn: behind kOwnId, of Told
};

/// Reads the record of `text`, if there is one.
[[nodiscard]] std::optional<Record> read_record(std::string_view text, const Hits& hits);

/// Where a second record begins in `text` when two were torn onto one line; npos when none does.
[[nodiscard]] std::size_t second_record(std::string_view text, const Hits& hits);

/// An access line: "GET /x HTTP/1.1" 200. A client library's own debug lines look alike and aren't.
[[nodiscard]] bool is_access_line(std::string_view text, const Hits& hits);

/// A path without scheme, host, query and fragment.
[[nodiscard]] std::string_view bare_path(std::string_view target);

/// "SIGSEGV" for 11; core-dump flags are taken off (139 is 11). Empty for what is no signal.
[[nodiscard]] std::string_view signal_name(int number);

}  // namespace tricorn::control::doctor
