// What a collector that is not known here writes before every line it takes: a pod's name, a
// stream, a column of a table. Learnt from Gunicorn's records, whose beginning is known; the
// tracebacks behind them have the same prefix and nothing else to tell it by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tricorn::control::doctor {

/// Prefixes remembered, and bytes of one.
inline constexpr std::size_t kPrefixesMax = 32;
inline constexpr std::size_t kPrefixBytesMax = 200;

class Prefixes {
 public:
  struct Found {
    std::size_t length = 0;   ///< bytes of the text; 0 when it has none
    std::string_view source;  ///< tells instances apart, when every record has such a prefix
  };

  /// `prefix` stood before the record of line `number`. One that comes a second time, whatever its
  /// numbers and its level, is believed: the first may be a line another process had begun.
  /// @return when it is believed from now on: the line that had it first
  std::optional<std::uint64_t> note(std::string_view prefix, std::uint64_t number);

  /// A record had no prefix at all: prefixes of others tell nothing of who wrote them.
  void note_none() { everywhere_ = false; }

  /// The longest believed prefix that `text` begins with.
  [[nodiscard]] Found find(std::string_view text) const {
    return any_believed_ ? longest(text) : Found{};
  }

 private:
  struct Shape {
    std::string text;  ///< a run of digits is one '0', a level is kAnyLevel
    std::uint64_t first_line = 0;
    bool believed = false;
  };
  [[nodiscard]] Found longest(std::string_view text) const;

  std::vector<Shape> shapes_;
  bool any_believed_ = false;
  bool everywhere_ = true;
};

}  // namespace tricorn::control::doctor
