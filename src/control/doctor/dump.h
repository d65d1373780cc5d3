// What faulthandler prints of a process that SIGABRT ends: workers that do not catch it (uvicorn's)
// leave this instead of a traceback.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "control/doctor/scan.h"
#include "control/doctor/traceback.h"

namespace tricorn::control::doctor {

class DumpReader {
 public:
  [[nodiscard]] bool open() const { return aborted_; }

  /// @return whether the line was part of a dump
  bool read(std::string_view text, const Hits& hits, std::uint64_t number);

  /// The stack of the thread that was aborted, once; without source lines, which no dump has.
  [[nodiscard]] std::optional<Traceback> take_finished();

 private:
  bool read_frame(std::string_view text, std::uint64_t number);

  bool aborted_ = false;  ///< "Fatal Python error: Aborted" was seen, its stack was not
  bool current_ = false;  ///< in the stack of the thread that took the signal
  int lines_ = 0;         ///< since then
  Traceback now_;         ///< innermost first while it is read
  std::optional<Traceback> finished_;
};

}  // namespace tricorn::control::doctor
