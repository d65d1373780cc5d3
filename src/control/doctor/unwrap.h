// Takes off what platforms wrap around a line: prefixes of time, container and stream, JSON,
// colours. Wrappers nest and change from line to line, so each line is peeled for itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "control/doctor/prefixes.h"
#include "control/doctor/stamp.h"

namespace tricorn::control::doctor {

/// Layers taken off one line at most.
inline constexpr int kLayersMax = 8;
/// Streams whose split lines are put together again, and how much of one is kept.
inline constexpr std::size_t kSplitStreamsMax = 32;
inline constexpr std::size_t kSplitBytesMax = 256UL * 1024;

enum class Origin : std::uint8_t {
  Program,         ///< a container's or dyno's own output, or not known
  Kernel,          ///< dmesg, or the kernel's lines of a journal
  HerokuPlatform,  ///< heroku[web.1]
  HerokuRouter,    ///< heroku[router]
  AzurePlatform,   ///< "… ERROR - Container …"
};

/// A line without its wrappers. The views live until the next call of the Unwrapper.
struct Line {
  std::string_view text;     ///< may hold newlines when the wrapper escaped them
  std::string_view source;   ///< container, dyno, instance, host and program; empty when not told
  std::string_view process;  ///< pid a syslog tag names: tells the lanes of one source apart
  Stamp wrapper;             ///< of the outermost layer that has one
  Origin origin = Origin::Program;
  bool heroku = false;
  bool azure_prefix = false;  ///< an ISO prefix with exactly seven digits and Z
  bool json = false;          ///< text was taken out of a JSON line
  std::string_view object;    ///< that JSON line itself
  bool learnt = false;        ///< a prefix was taken off that only records had told of
};

class Unwrapper {
 public:
  /// Peels one line (without its newline).
  /// @return false when it is the beginning of a split line: its rest comes with a later one
  [[nodiscard]] bool unwrap(std::string_view raw, Line& line);

  /// What was split and never went on, one by one, when the log has ended.
  [[nodiscard]] bool flush(Line& line);

  /// Learns from records what stands before them.
  [[nodiscard]] Prefixes& prefixes() { return prefixes_; }

 private:
  bool peel(Line& line);
  bool peel_iso(Line& line);
  bool peel_json(Line& line);
  bool peel_json_member(Line& line);
  bool peel_learnt(Line& line);
  bool peel_logfmt(Line& line);
  bool peel_syslog(Line& line);
  bool peel_rfc5424(Line& line);
  bool after_host(Line& line, std::string_view rest, bool strict);
  bool peel_cri(Line& line, std::string_view rest);
  bool join(Line& line, std::string_view stream, bool goes_on);
  static bool peel_tag(Line& line, std::string_view rest);
  static bool peel_heroku(Line& line, std::string_view rest);
  static bool peel_compose(Line& line);
  static bool peel_bracket(Line& line);
  std::string_view without_colours(std::string_view raw);

  std::string clean_;
  std::string decoded_[kLayersMax];
  std::string joined_;
  std::string tagged_;
  std::map<std::string, std::string, std::less<>> split_;
  Prefixes prefixes_;
  std::string learnt_source_;
  int depth_ = 0;
  bool waiting_ = false;
};

/// The value of a JSON string whose opening quote is behind: unescaped into `out`.
/// @return bytes read up to the closing quote (or all, when it is missing)
std::size_t unescape_json(std::string_view text, std::string& out);

}  // namespace tricorn::control::doctor
