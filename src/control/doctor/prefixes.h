// What a collector that is not known here writes before every line it takes: a pod's name, a
// stream, a column of a table. Learnt from Gunicorn's records, whose beginning is known; the
// tracebacks behind them have the same prefix and nothing else to tell it by.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tricorn::control::doctor {

/// Prefixes remembered, and bytes of one.
inline constexpr std::size_t kPrefixesMax = 8;
inline constexpr std::size_t kPrefixBytesMax = 200;

class Prefixes {
 public:
  /// `prefix` stood before a record. One that comes a second time, whatever its numbers and its
  /// level, is believed: the first may be a line another process had begun.
  void note(std::string_view prefix);

  /// Bytes of a believed prefix that `text` begins with; 0 when there is none.
  [[nodiscard]] std::size_t length(std::string_view text) const {
    return any_believed_ ? longest(text) : 0;
  }

 private:
  struct Shape {
    std::string text;  ///< a run of digits is one '0', a level is kAnyLevel
    bool believed = false;
  };
  [[nodiscard]] std::size_t longest(std::string_view text) const;

  std::vector<Shape> shapes_;
  bool any_believed_ = false;
};

}  // namespace tricorn::control::doctor
