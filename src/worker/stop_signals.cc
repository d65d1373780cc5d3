#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/stop_signals.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace tricorn::worker {
namespace {

std::atomic<bool> g_graceful{false};
std::atomic<bool> g_quick{false};
std::atomic<bool> g_reopen{false};

void on_signal(int signal) {
  const int saved = errno;
  if (signal == SIGTERM) g_graceful.store(true);
  if (signal == SIGUSR1) g_reopen.store(true);
  if (signal == SIGINT || signal == SIGQUIT) {
    // The kernel may choose any thread, and only Python's main thread runs Python's handler: its
    // system call must be the one that is interrupted. Source: signal(7), kernel/signal.c.
    if (::syscall(SYS_gettid) != ::getpid()) {
      ::syscall(SYS_tgkill, ::getpid(), ::getpid(), signal);
      errno = saved;
      return;
    }
    g_quick.store(true);
    PyErr_SetInterruptEx(SIGINT);
  }
  stop_signal_bell().raise();
  errno = saved;
}

}  // namespace

const net::Wakeup& stop_signal_bell() {
  static const net::Wakeup* const bell =
      new net::Wakeup();  // NOLINT: handlers may use it until the end
  return *bell;
}

void install_stop_handlers() {
  static_cast<void>(stop_signal_bell());  // made before a handler can need it
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGUSR1})
    ::sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  for (const int signal : {SIGHUP, SIGUSR2, SIGWINCH, SIGPIPE})
    ::sigaction(signal, &action, nullptr);
}

StopSignals take_stop_signals() {
  stop_signal_bell().clear();
  return {g_graceful.exchange(false), g_quick.exchange(false), g_reopen.exchange(false)};
}

}  // namespace tricorn::worker
