// tricornctl doctor: reads logs that exist already and says why workers timed out or were killed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/doctor/reading.h"

namespace tricorn::control::doctor {

/// Reads a log to its end; "-" is standard input. UTF-16 (as PowerShell writes) is read too.
/// @return Error naming the file when it cannot be read or is compressed
[[nodiscard]] base::Result<Report> diagnose_file(const std::string& path);

/// The same of a descriptor.
[[nodiscard]] base::Result<Report> diagnose(int fd, const std::string& name);

/// The JSON object of one report; `file` is added as a key when it is not empty.
[[nodiscard]] std::string to_json(const Report& report, std::string_view file, int indent);

/// What stands in the list of several files for one that could not be read.
[[nodiscard]] std::string error_json(std::string_view file, std::string_view error);

/// The report for people, at most `width` columns where words can be broken; ends with a newline.
/// @param colour  bold headings
[[nodiscard]] std::string to_text(const Report& report, std::string_view file, int width,
                                  bool colour);

/// Reads `files` and prints what was found.
/// @return the exit status: 0 no problem, 1 findings, 2 a file is unreadable or holds no known line
int examine(const std::vector<std::string>& files, bool json);

}  // namespace tricorn::control::doctor
