#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "spawner/fork.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace tricorn::spawner {
namespace {

// What the middle process does: forks the worker, tells its pid, leaves. Returns 0 in the worker
// only.
pid_t fork_and_leave(int pid_pipe) {
  const pid_t worker = ::fork();
  if (worker == 0) return 0;
  const int answer = worker > 0 ? worker : -errno;
  const ssize_t written = ::write(pid_pipe, &answer, sizeof answer);
  ::_exit(written == sizeof answer ? 0 : 1);
}

base::Result<pid_t> read_pid(int pid_pipe) {
  int answer = 0;
  ssize_t got;
  do {
    got = ::read(pid_pipe, &answer, sizeof answer);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof answer)
    return base::fail("the middle process of the fork died before it could fork");
  if (answer < 0) return base::fail_errno("fork", -answer);
  return pid_t{answer};
}

void wait_for(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

base::Result<pid_t> fork_worker() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno("pipe2", errno);
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  PyOS_BeforeFork();
  const pid_t middle = ::fork();
  const int refused = errno;
  if (middle == 0 && fork_and_leave(writer.get()) == 0) {
    PyOS_AfterFork_Child();
    return pid_t{0};
  }
  PyOS_AfterFork_Parent();
  if (middle < 0) return base::fail_errno("fork", refused);
  writer.reset();
  auto worker = read_pid(reader.get());
  wait_for(middle);
  return worker;
}

}  // namespace tricorn::spawner
