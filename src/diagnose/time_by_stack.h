// Where time went, from samples: milliseconds by Python stack, in the form that flame graphs are
// made from. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/frames.h"

namespace tricorn::diagnose {

/// Different stacks one TimeByStack keeps; the time of others is counted as kOtherStacks.
inline constexpr std::size_t kStacksKept = 2000;
inline constexpr std::string_view kOtherStacks = "(other stacks)";
inline constexpr std::string_view kNoPython = "(no Python code)";
/// A stack of nothing but this server's own frames: it reads or writes.
inline constexpr std::string_view kServerItself = "(the server itself)";

/// "outer (file:line);inner (file:line)", outermost first: the collapsed form of flamegraph.pl.
/// Semicolons and control characters in names become '_'.
[[nodiscard]] std::string collapsed(const Stack& stack);

/// A share of the time.
struct PlaceShare {
  std::string place;     ///< "app.py:159"
  std::string function;  ///< there; may be empty
  std::int64_t ms = 0;
  int percent = 0;  ///< of the whole, rounded
};

class TimeByStack {
 public:
  /// @param app_directory  places below it are shown relative to it
  explicit TimeByStack(std::string app_directory = "") : app_directory_(std::move(app_directory)) {}

  /// A thread was seen here, and `ms` are put down to it. @param under  name of the outermost row,
  /// e.g. the thread; empty: none
  void add(const Stack& stack, std::int64_t ms, std::string_view under = "");
  [[nodiscard]] std::int64_t total_ms() const { return total_ms_; }
  /// Collapsed stack -> milliseconds.
  [[nodiscard]] const std::map<std::string, std::int64_t, std::less<>>& stacks() const {
    return stacks_;
  }
  /// Lines of the application's code that most time was spent in, longest first.
  [[nodiscard]] std::vector<PlaceShare> places(std::size_t most) const;

 private:
  struct Place {
    std::string function;
    std::int64_t ms = 0;
  };
  std::string app_directory_;
  std::map<std::string, std::int64_t, std::less<>> stacks_;
  std::map<std::string, Place, std::less<>> places_;
  std::int64_t total_ms_ = 0;
};

/// "81% at app.py:159 in view, 15% at app.py:170 in other"; "no Python code seen" when empty.
[[nodiscard]] std::string shares_text(const std::vector<PlaceShare>& places);

}  // namespace tricorn::diagnose
