// Tracebacks that some collector or copying pressed into one line.
#pragma once

#include <string>
#include <string_view>

namespace tricorn::control::doctor {

/// `text`, which holds "Traceback (most recent call last):" at `at` and frames, in lines again:
/// split at "\n" in two letters, or before each frame where blanks are all that is left of the
/// line ends. Empty when it is no such line.
[[nodiscard]] std::string in_lines(std::string_view text, std::size_t at);

}  // namespace tricorn::control::doctor
