// /proc as text: reading whole files and parsing the few lines that matter. The parsers are pure.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// Most bytes read of one file. Source: /proc/net/tcp has 150 bytes a socket; 100,000 sockets fit.
inline constexpr std::size_t kFileBytesMax = std::size_t{16} << 20;

/// A file to read, without waiting for a FIFO's writer. @param directory  fd or AT_FDCWD
[[nodiscard]] base::UniqueFd open_file(int directory, const char* path);
/// A whole file from its start, at most kFileBytesMax of it. @return nothing when it is not
/// readable
[[nodiscard]] std::optional<std::string> read_open_file(int file);
/// The same of a file that is opened for it. @param directory  fd or AT_FDCWD
/// @return nothing when it cannot be opened or read
[[nodiscard]] std::optional<std::string> read_file(int directory, const char* path);
/// Target of a symbolic link. @return empty when it cannot be read
[[nodiscard]] std::string read_link(int directory, const char* path);
/// Names in a directory that are numbers: tids, fds. Empty when it cannot be read.
[[nodiscard]] std::vector<int> numbers_in(int directory, const char* path);

/// Name of the program a process runs, without its folder and its arguments, which may be secret.
/// @param process  fd of /proc/PID
[[nodiscard]] std::string program_of(int process);

/// Its folder in /proc; invalid when it is gone.
[[nodiscard]] base::UniqueFd open_process(pid_t pid);
/// The pid behind a /proc/PID that is open; 0 when the process is gone.
[[nodiscard]] pid_t pid_of(int process);

/// The number `text` starts with, after blanks; 0 when there is none.
[[nodiscard]] std::uint64_t number_from(std::string_view text, int base = 10);
/// The number behind a line's name, e.g. value_of("oom_kill 3", "oom_kill"); names end at ' ' ':'
/// or tab.
[[nodiscard]] std::optional<std::uint64_t> value_of(std::string_view text, std::string_view name);
/// The text's fields, separated by any number of blanks or tabs. At most `most`.
[[nodiscard]] std::vector<std::string_view> fields_of(std::string_view line, std::size_t most = 64);
/// Calls `use` with each line, until it returns false.
template <class Use>
void each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (!use(text.substr(0, end)) || end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

/// State, name and major faults. Source: proc_pid_stat(5), fields 2, 3, 12.
void parse_stat(std::string_view text, ThreadLook& look);
/// Whether the kernel is taking the process apart: PF_EXITING in field 9, or SIGKILL is pending.
/// Source: Linux include/linux/sched.h; proc_pid_status(5) SigPnd, ShdPnd
[[nodiscard]] bool is_dying(std::string_view stat, std::string_view status);
/// Whether it has waited for a child process that had run: page faults of such ones, fields 11, 13.
/// Source: proc_pid_stat(5)
[[nodiscard]] bool has_waited_for_children(std::string_view stat);
/// Voluntary switches, from /proc/PID/task/TID/status. Source: proc_pid_status(5)
void parse_thread_status(std::string_view text, ThreadLook& look);
/// CPU and run-queue time. Source: Linux Documentation/scheduler/sched-stats.rst
void parse_schedstat(std::string_view text, ThreadLook& look);
/// "running", "-1 SP PC" or "NR six arguments SP PC". Source: proc_pid_syscall(5)
void parse_syscall(std::string_view text, ThreadLook& look);
/// VmRSS, VmSwap, VmSize, TracerPid, Threads. Source: proc_pid_status(5)
void parse_status(std::string_view text, ProcessLook& look);

/// One mapping of /proc/PID/maps.
struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  std::string_view file;  ///< into the text that was parsed

  [[nodiscard]] bool holds(std::uint64_t address) const {
    return address >= start && address < end;
  }
  /// Of its file, without the folder.
  [[nodiscard]] std::string_view name() const { return file.substr(file.rfind('/') + 1); }
};
/// Source: proc_pid_maps(5)
[[nodiscard]] Mapping parse_mapping(std::string_view line);
/// Name without folder of the file `pc` lies in; empty when none.
[[nodiscard]] std::string module_at(std::string_view maps, std::uint64_t pc);
/// The file that most of these instructions lie in.
[[nodiscard]] NativeCode native_code_in(std::string_view maps,
                                        std::vector<std::uint64_t> instructions);
/// Whether `address` is at the low end of the stack that `sp` is in: the next mapping above it is
/// writable and nearer than 64 KiB, and so is sp. Source: diagnosis.md section 5; guard gap of
/// mm/mmap.c
[[nodiscard]] bool is_stack_overflow(std::string_view maps, std::uint64_t address,
                                     std::uint64_t sp);

/// A soft limit by its name in the text of a limits file; -1: none, or not readable.
[[nodiscard]] std::int64_t limit_in(std::string_view limits, std::string_view name);

}  // namespace tricorn::diagnose
