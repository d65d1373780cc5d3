// What the kernel tells of one thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// A file of a thread's; empty when it cannot be read. @param process  fd of /proc/PID
[[nodiscard]] std::string task_text(int process, pid_t tid, const char* name);

/// State, times and system call. @param stat  text of its stat file
[[nodiscard]] ThreadLook kernel_look(int process, pid_t tid, const std::string& stat);

/// Adds the kernel function that it sleeps in.
void add_place_in_kernel(int process, ThreadLook& look);

/// A thread beside the serving one. Each file costs some 10 us: of one that just sleeps, its system
/// call tells enough.
[[nodiscard]] ThreadLook other_thread(int process, pid_t tid);

}  // namespace tricorn::diagnose
