// Whom the kernel has killed for want of memory, in its own words: /dev/kmsg.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace tricorn::diagnose {

/// A process that the kernel killed for memory.
struct OomVictim {
  pid_t pid = 0;
  std::string name;  ///< its comm
};

/// The victim that one record tells of; nothing: it tells of none.
/// Source: Linux mm/oom_kill.c, "oom-kill:" before the kill and "Killed process" after it
[[nodiscard]] std::optional<OomVictim> oom_victim_in(std::string_view record);

/// Reads what the kernel says from its making on. Says nothing where the log is closed to us, and
/// in a pid namespace, where the kernel's pids are not ours.
class KernelLog {
 public:
  KernelLog();
  /// Victims told of since the last call, oldest first. At most the kernel's ring buffer is read.
  [[nodiscard]] std::vector<OomVictim> new_victims();

 private:
  base::UniqueFd log_;
};

}  // namespace tricorn::diagnose
