// Python tracebacks, gathered line by line out of whatever else is written between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/doctor/scan.h"

namespace tricorn::control::doctor {

/// Frames kept of one traceback, the innermost ones: what is further out never decides.
inline constexpr std::size_t kFramesMax = 128;
/// Bytes kept of a file name, a function or a source line.
inline constexpr std::size_t kFrameTextMax = 512;

struct Frame {
  std::string file;
  std::int64_t line = 0;
  std::string function;
  std::string source;        ///< the quoted line, without indentation; empty when none was shown
  std::string caret;         ///< the part of `source` under ^ marks; empty when there are none
  std::uint64_t number = 0;  ///< line of the log
};

struct Traceback {
  std::vector<Frame> frames;  ///< outermost first
  std::string exception;      ///< bare class name of the last line; empty when it was cut
  std::uint64_t first = 0;    ///< lines of the log
  std::uint64_t last = 0;
};

/// Puts one traceback together. A lane (one process's output) has one.
class TracebackReader {
 public:
  [[nodiscard]] bool open() const { return open_; }

  /// Reads a line of the lane. A line that belongs to nothing here is stepped over.
  /// @param foreign  the line is known to be something else (a record, an access line)
  /// @return whether the line was part of a traceback
  bool read(std::string_view text, const Hits& hits, std::uint64_t number, bool foreign);

  /// The traceback that ended with the last line read, once.
  std::optional<Traceback> take_finished();

  /// Ends what is open: the log ends here, or another one begins.
  void cut();

 private:
  bool begins_headless(std::string_view text, const Hits& hits, std::uint64_t number);
  bool read_frame(std::string_view text, std::uint64_t number);
  bool read_source(std::string_view text);
  bool read_end(std::string_view text, std::uint64_t number);
  void finish();

  bool open_ = false;
  bool wants_source_ = false;
  bool indented_ = false;
  std::size_t source_indent_ = 0;
  Traceback now_;
  std::string previous_;
  std::string pending_;  ///< perhaps the last line's class; sure unless another frame follows
  std::optional<Traceback> finished_;
};

/// `File "x.py", line 7, in f`. @param in  what stands before the function; without it that is
/// empty  @param number  of its line
[[nodiscard]] std::optional<Frame> take_frame(std::string_view rest, std::string_view in,
                                              std::uint64_t number);

/// The bare class name when `text` is a traceback's last line ("a.b.C: words", "C"); else empty.
[[nodiscard]] std::string_view exception_class(std::string_view text);

/// A line of a traceback that a collector made an entry of its own (still escaped): the entry's
/// level is no header of a record.
[[nodiscard]] bool is_of_traceback(std::string_view text);

}  // namespace tricorn::control::doctor
