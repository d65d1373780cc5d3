// What a process uses, from two short files: cheap enough to ask of every worker each second.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

namespace tricorn::diagnose {

/// -1: could not be read.
struct Usage {
  std::int64_t rss_bytes = -1;  ///< resident memory, shared pages included
  std::int64_t cpu_ns = -1;     ///< user and system time since its start, in ticks of 1 to 10 ms
  char state = '?';             ///< R S D T t Z as in /proc/PID/stat
};

/// Any process.
[[nodiscard]] Usage usage_of(pid_t pid);

/// Source: proc_pid_stat(5), fields 3, 14 and 15
/// @param ticks  clock ticks a second
void parse_usage_stat(std::string_view text, long ticks, Usage& usage);
/// Source: proc_pid_statm(5), field 2
void parse_usage_statm(std::string_view text, long page_bytes, Usage& usage);

}  // namespace tricorn::diagnose
