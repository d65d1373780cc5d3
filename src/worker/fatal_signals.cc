#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/fatal_signals.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "heartbeat/wire.h"

namespace tricorn::worker {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::int64_t kWaitSeconds = 1;

heartbeat::Header* g_header = nullptr;  // a signal handler can reach nothing else
int g_control = -1;
std::atomic<std::uint32_t> g_released{0};

void note_registers(heartbeat::Crash& crash, const void* context) {
#if defined(__x86_64__)
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  crash.pc = static_cast<std::uint64_t>(registers[REG_RIP]);
  crash.sp = static_cast<std::uint64_t>(registers[REG_RSP]);
#elif defined(__aarch64__)
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext;
  crash.pc = registers.pc;
  crash.sp = registers.sp;
#endif
}

// The sentinel reads Go and wakes us; if it is the one that crashed, the time-out does.
void wait_until_looked_at() {
  const timespec limit{kWaitSeconds, 0};
  while (g_released.load(std::memory_order_acquire) == 0) {
    const long woken = ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&g_released),
                                 FUTEX_WAIT_PRIVATE, 0, &limit, nullptr, 0);
    if (woken != 0 && errno == ETIMEDOUT) return;
  }
}

void die_of(int signal) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(signal, &standard, nullptr);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::syscall(SYS_tgkill, ::getpid(), ::syscall(SYS_gettid), signal);
}

void on_fatal(int signal, siginfo_t* info, void* context) {
  heartbeat::Header& header = *g_header;
  // A forked child of the application inherits the handler, not the story.
  const bool ours = header.pid.load() == ::getpid();
  if (ours && signal == SIGABRT && header.abort_asked.load() != 0) {
    if (::syscall(SYS_gettid) == ::getpid()) {
      PyErr_SetInterruptEx(SIGABRT);
    } else {  // Python's handler runs in the main thread, whose system call must be interrupted
      ::syscall(SYS_tgkill, ::getpid(), ::getpid(), SIGABRT);
    }
    return;
  }
  std::uint32_t none = 0;
  if (ours && header.crash.signal.compare_exchange_strong(none, ~0U)) {
    heartbeat::Crash& crash = header.crash;
    crash.tid = static_cast<std::int32_t>(::syscall(SYS_gettid));
    crash.code = info->si_code;
    // The two share their bytes. Source: sigaction(2); SI_KERNEL has neither
    const bool sent = info->si_code <= 0;
    crash.sender_pid = sent ? info->si_pid : 0;
    crash.address = sent ? 0 : reinterpret_cast<std::uint64_t>(info->si_addr);
    note_registers(crash, context);
    crash.signal.store(static_cast<std::uint32_t>(signal));
    if (heartbeat::send_message(g_control, heartbeat::Verb::Crashed, signal, nullptr, 0, -1,
                                MSG_DONTWAIT)) {
      wait_until_looked_at();
    }
  }
  die_of(signal);
}

}  // namespace

void install_fatal_handlers(heartbeat::Header& header, int control) {
  g_header = &header;
  g_control = control;
  struct sigaction action {};
  action.sa_sigaction = on_fatal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (const int signal : kFatalSignals) ::sigaction(signal, &action, nullptr);
}

void announce_exit(heartbeat::Header& header, int control, int status, int tid) {
  header.exit_status.store(status);
  header.exit_tid.store(tid, std::memory_order_release);
  if (heartbeat::send_message(control, heartbeat::Verb::Crashed, 0, nullptr, 0, -1, MSG_DONTWAIT)) {
    wait_until_looked_at();
  }
}

void use_alternate_stack() {
  void* stack =
      ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return;
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = kStackBytes;
  ::sigaltstack(&alternate, nullptr);
}

void release_crashed_thread() {
  g_released.store(1, std::memory_order_release);
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&g_released), FUTEX_WAKE_PRIVATE, 1,
            nullptr, nullptr, 0);
}

}  // namespace tricorn::worker
