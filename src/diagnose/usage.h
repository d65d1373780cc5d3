// What a process uses, from two short files: cheap enough to ask of every worker each second.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tricorn::diagnose {

/// -1: could not be read.
struct Usage {
  std::int64_t rss_bytes = -1;  ///< resident memory, shared pages included
  std::int64_t cpu_ns = -1;     ///< user and system time since its start, in ticks of 1 to 10 ms
  char state = '?';             ///< R S D T t Z as in /proc/PID/stat
};

/// Any process.
[[nodiscard]] Usage usage_of(pid_t pid);

/// Where in the kernel a thread of the process sleeps so that not even SIGKILL wakes it, by
/// wchan; "the kernel" where that is not readable. Nothing: no thread does.
[[nodiscard]] std::optional<std::string> uninterruptible_in(pid_t pid);

/// A descriptor, and the inode of the socket it is.
using SocketInode = std::pair<int, ino_t>;
/// The sockets of a process, by any thread of it that still has its descriptors.
[[nodiscard]] std::vector<SocketInode> sockets_of(pid_t pid);

/// "; open: 231 files (230 of /srv/a.csv), 12 sockets, 3 pipes": what the descriptors of a process
/// are, most first. Of the first thousands. Empty: not readable.
[[nodiscard]] std::string descriptors_text(pid_t pid);
/// The same of what the links of a fd directory say.
[[nodiscard]] std::string descriptors_text(const std::vector<std::string>& links);

/// Source: proc_pid_stat(5), fields 3, 14 and 15
/// @param ticks  clock ticks a second
void parse_usage_stat(std::string_view text, long ticks, Usage& usage);
/// Source: proc_pid_statm(5), field 2
void parse_usage_statm(std::string_view text, long page_bytes, Usage& usage);

}  // namespace tricorn::diagnose
