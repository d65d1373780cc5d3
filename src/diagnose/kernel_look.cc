#include "diagnose/kernel_look.h"

#include <fmt/format.h>

#include <string_view>

#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

std::string_view trimmed(std::string_view text) {
  return text.substr(0, text.find_last_not_of("\n ") + 1);
}

}  // namespace

std::string task_text(int process, pid_t tid, const char* name) {
  return read_file(process, fmt::format("task/{}/{}", tid, name).c_str()).value_or("");
}

ThreadLook kernel_look(int process, pid_t tid, const std::string& stat) {
  ThreadLook look;
  look.tid = tid;
  parse_stat(stat, look);
  parse_schedstat(task_text(process, tid, "schedstat"), look);
  parse_syscall(task_text(process, tid, "syscall"), look);
  return look;
}

void add_place_in_kernel(int process, ThreadLook& look) {
  const std::string wchan = task_text(process, look.tid, "wchan");
  if (wchan != "0") look.wchan = trimmed(wchan);
}

ThreadLook other_thread(int process, pid_t tid) {
  ThreadLook look = kernel_look(process, tid, task_text(process, tid, "stat"));
  if (look.state != 'S' || look.syscall < 0) add_place_in_kernel(process, look);
  return look;
}

}  // namespace tricorn::diagnose
