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

std::atomic<bool> g_passed_on{false};  // what comes next from this process is not of its making
std::atomic<std::int32_t>* g_sender = nullptr;  // a signal handler can reach nothing else

void on_signal(int signal, siginfo_t* info, void* /*context*/) {
  const int saved = errno;
  std::int32_t none = 0;
  const bool passed_on = info->si_pid == ::getpid() && g_passed_on.exchange(false);
  if (signal != SIGUSR1 && info->si_code <= 0 && !passed_on)
    g_sender->compare_exchange_strong(none, info->si_pid);
  if (signal == SIGTERM) g_graceful.store(true);
  if (signal == SIGUSR1) g_reopen.store(true);
  if (signal == SIGINT || signal == SIGQUIT) {
    // The kernel may choose any thread, and only Python's main thread runs Python's handler: its
    // system call must be the one that is interrupted. Source: signal(7), kernel/signal.c.
    if (::syscall(SYS_gettid) != ::getpid()) {
      g_passed_on.store(true);
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

void install_stop_handlers(std::atomic<std::int32_t>& sender) {
  g_sender = &sender;
  static_cast<void>(stop_signal_bell());  // made before a handler can need it
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGUSR1})
    ::sigaction(signal, &action, nullptr);
  action.sa_flags = 0;
  action.sa_handler = SIG_IGN;
  for (const int signal : {SIGHUP, SIGUSR2, SIGWINCH, SIGPIPE})
    ::sigaction(signal, &action, nullptr);
}

StopSignals take_stop_signals() {
  stop_signal_bell().clear();
  return {g_graceful.exchange(false), g_quick.exchange(false), g_reopen.exchange(false)};
}

}  // namespace tricorn::worker
