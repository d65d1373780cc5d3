// What ps and top show as the command line of this process.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace tricorn::base {

/// Shows `title` instead of the words the process was started with. A longer title takes the place
/// of the environment's strings, which are moved first, so that /proc/PID/environ no longer shows
/// them. While no other thread reads the environment.
/// @return false: /proc does not say where the words are, or there is no room for all of it
/// Source: proc(5), stat fields 48 to 51; get_mm_cmdline() of Linux, fs/proc/base.c
bool set_process_title(std::string_view title);

/// The words this process was started with, found beforehand: for a title that is shown where
/// little is allowed, as after a fork.
class TitleRoom {
 public:
  /// @return nothing: /proc does not say where the words are
  [[nodiscard]] static std::optional<TitleRoom> find();
  /// Shows `title`, as much of it as there is room for. Only writes to memory.
  void show(std::string_view title) const;

 private:
  TitleRoom(char* words, std::size_t bytes) : words_(words), bytes_(bytes) {}
  char* words_;
  std::size_t bytes_;
};

}  // namespace tricorn::base
