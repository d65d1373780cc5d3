// What ps and top show as the command line of this process.
#pragma once

#include <string_view>

namespace tricorn::base {

/// Shows `title` instead of the words the process was started with. A longer title takes the place
/// of the environment's strings, which are moved first, so that /proc/PID/environ no longer shows
/// them. While no other thread reads the environment.
/// @return false: /proc does not say where the words are, or there is no room for all of it
/// Source: proc(5), stat fields 48 to 51; get_mm_cmdline() of Linux, fs/proc/base.c
bool set_process_title(std::string_view title);

}  // namespace tricorn::base
