// --daemon: the server leaves its terminal. Source: gunicorn.md section 1; Gunicorn's
// util.daemonize.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arbiter/arbiter.h"

namespace tricorn::arbiter {
namespace {

constexpr mode_t kUmask = 022;
constexpr int kSpawnerEndMs = 2000;  // for what the configuration file registered with atexit

// The first process ends with the spawner that showed the user what is wrong with the
// configuration, or else the kernel would kill that one. Source: prctl(2) PR_SET_PDEATHSIG.
[[noreturn]] void leave_foreground(pid_t spawner) {
  const base::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, spawner, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (pidfd.valid()) ::poll(&ended, 1, kSpawnerEndMs);
  ::_exit(0);
}

// @param keep  leave alone what is no terminal (--enable-stdio-inheritance)
void redirect_stdio(bool keep) {
  const base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int stream : {0, 1, 2}) {
    if (!keep || stream == 0 || ::isatty(stream) != 0) ::dup2(null.get(), stream);
  }
}

}  // namespace

// The configuration is read a second time then: the first time was for its errors to be seen.
void Arbiter::go_to_background() {
  background_wanted_ = false;
  in_background_ = true;
  if (notifier_.enabled()) {
    std::fputs(
        "Warning: you shouldn't specify `daemon = True` when launching by systemd with "
        "`Type = notify`\n",
        stderr);
  }
  const pid_t spawner = spawner_->pid();
  poller_.remove(spawner_->fd());
  poller_.remove(signals_.get());
  spawner_.reset();
  pid_t pid = ::fork();
  if (pid > 0) leave_foreground(spawner);
  if (pid == 0) {
    ::setsid();
    pid = ::fork();
    if (pid > 0) ::_exit(0);
  }
  if (pid < 0) return fail_start(1, fmt::format("fork: {}", std::strerror(errno)));
  ::umask(kUmask);
  redirect_stdio(options_.keep_stdio);
  if (prepare_process() && start_spawner()) load_conf();
}

}  // namespace tricorn::arbiter
