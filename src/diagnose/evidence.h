// What was seen of a worker: plain facts, no conclusions. look.h gathers them, verdict.h concludes,
// report.h prints. Whatever could not be read is an empty optional or a -1, never a guess.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/kernel_log.h"
#include "heartbeat/page.h"

namespace tricorn::diagnose {

/// One line of a Python stack.
struct PythonFrame {
  std::string file;      ///< as the code object has it, usually absolute
  std::string function;  ///< qualified name from CPython 3.11 on
  int line = 0;          ///< 0: not known
  bool operator==(const PythonFrame&) const = default;
};

/// One thread at one moment.
struct ThreadLook {
  pid_t tid = 0;              ///< 0: a Python thread whose kernel id is not known (CPython 3.10)
  std::string name;           ///< its comm, e.g. "app-3"
  char state = '?';           ///< R S D T t Z as in /proc/PID/stat; '?' not readable
  std::string wchan;          ///< kernel function it sleeps in; empty: none or not readable
  bool running = false;       ///< the syscall file said "running": in user space or ready to be
  std::int64_t syscall = -1;  ///< number; -1 running, in a fault, or not readable
  std::array<std::uint64_t, 6> args{};  ///< of the syscall
  std::uint64_t pc = 0;            ///< user-space instruction of a sleeping thread, 0 not known
  std::uint64_t sp = 0;            ///< its stack pointer
  std::int64_t cpu_ns = -1;        ///< on the CPU since its start; -1 not readable
  std::int64_t run_delay_ns = -1;  ///< ready, but not let on a CPU, since its start
  std::int64_t slices = -1;        ///< times it was let on a CPU, since its start
  std::uint64_t major_faults = 0;  ///< since its start
  std::int64_t switches = -1;      ///< times it gave up the CPU by itself; -1 not read
  std::uint64_t tstate = 0;        ///< its PyThreadState, 0 not a Python thread
  std::vector<PythonFrame>
      stack;                  ///< innermost first; of an event loop that waits, its coroutines'
  std::uint64_t awaited = 0;  ///< the future that those wait for; 0: none, or not known
  std::uint64_t instruction =
      0;               ///< bytecode position of the innermost frame, comparable between looks
  bool jumps = false;  ///< its bytecode there is an unconditional jump: no call into C
  bool has_gil = false;
  bool waits_for_gil = false;  ///< its futex word lies inside CPython's GIL structure
};

/// Address of a Peer that only wakes: what event loops in C have. Source: proc_pid_fd(5)
inline constexpr std::string_view kEventDescriptor = "anon_inode:[eventfd]";

/// Whom or what a blocked system call waits for.
struct Peer {
  enum class Kind { Tcp, Udp, Unix, Pipe, File, Process, Other };
  Kind kind = Kind::Other;
  std::string address;     ///< "127.0.0.1:5432", "[::1]:5432", a path, "pid 4711 (sleep)"
  std::string service;     ///< "PostgreSQL", "Redis" ... by the port; empty: not known
  std::uint16_t port = 0;  ///< the peer's
  std::uint16_t local_port = 0;
  std::string state;  ///< "ESTABLISHED", "SYN_SENT" ...; empty for others than TCP
  unsigned retransmits = 0;
  int fd = -1;                ///< the worker's descriptor
  std::string filesystem;     ///< of a File: "ext4", "nfs4"
  pid_t holder = 0;           ///< of a locked File: who has the lock
  pid_t other_end = 0;        ///< of a Pipe: a process that has its other end; 0 not known
  std::string other_program;  ///< its program
  bool more_ends = false;     ///< further processes have that end too
  unsigned others = 0;        ///< further peers that the same call waits for
  bool client = false;        ///< it is a client of ours, not an upstream
  bool server = false;        ///< it is this server: the worker has the socket that listens there
  bool internal = false;      ///< both ends are the worker's own, as those that wake an event loop
};

/// Counters of the control groups the worker is in (its own and all above, as far as they are
/// visible).
struct CgroupCounters {
  std::string memory_path;                     ///< of its own memory cgroup; empty: not found
  std::optional<std::uint64_t> oom_kill;       ///< of its own group (v2: with the groups below)
  std::optional<std::uint64_t> host_oom_kill;  ///< /proc/vmstat: the whole machine
  std::optional<std::uint64_t> memory_hits;  ///< times the limit was hit: v1 failcnt, v2 high + max
  std::optional<std::uint64_t> refaults;     ///< pages that were needed again soon after they went
  std::uint64_t memory_limit = 0;            ///< bytes, the lowest of own and ancestors; 0 none
  std::optional<std::uint64_t> memory_stall_us;  ///< of some task: the group's PSI (v2), or the
                                                 ///< machine's
  std::optional<std::uint64_t> periods;          ///< cpu.stat nr_periods
  std::optional<std::uint64_t> throttled;        ///< cpu.stat nr_throttled
  std::int64_t throttled_ns = 0;
  double cpu_quota = 0;                      ///< CPUs the quota allows; 0 no quota
  std::optional<std::uint64_t> pids_denied;  ///< pids.events max
  bool frozen = false;                       ///< freezer.state FROZEN or cgroup.events frozen 1
};

/// One worker at one moment.
struct ProcessLook {
  std::int64_t at_ns = 0;  ///< monotonic, when the look began
  std::int64_t took_ns = 0;
  bool full = false;  ///< false: a light look (one thread, no fds, no peers)
  /// The serving thread first, then all others. A light look has the serving thread only.
  std::vector<ThreadLook> threads;
  bool python_readable = false;  ///< false: stacks, GIL and GC below say nothing
  bool gil_locked = false;
  pid_t gil_holder = 0;  ///< tid, 0 nobody or not known
  bool gc_collecting = false;
  std::uint64_t rss_bytes = 0;
  std::uint64_t swap_bytes = 0;
  std::uint64_t virtual_bytes = 0;        ///< VmSize
  pid_t tracer = 0;                       ///< debugger's pid
  std::int64_t fds = -1;                  ///< open descriptors; -1 not read
  std::int64_t fd_limit = -1;             ///< soft RLIMIT_NOFILE
  std::int64_t address_space_limit = -1;  ///< soft RLIMIT_AS in bytes; -1 none, or not read
  std::int64_t process_limit = -1;        ///< soft RLIMIT_NPROC; -1 none, or not read
  std::int64_t thread_count = -1;
  CgroupCounters cgroup;
  // From the slot, so that two looks show whether the request got on.
  heartbeat::Phase phase = heartbeat::Phase::Idle;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::int64_t progress_ns = 0;  ///< Slot::progress_ns
  std::optional<Peer> peer;      ///< of the serving thread, where it was looked up: add_peer()
};

/// A lock that a thread waits for, as its frames show.
struct LockWait {
  std::uint64_t waiter = 0;  ///< its PyThreadState
  std::uint64_t object = 0;  ///< address of the lock
  std::string type;          ///< "_thread.lock", "_thread.RLock", "_queue.SimpleQueue"
  std::uint64_t holder = 0;  ///< PyThreadState of who has it; 0 not known
};

/// In whose machine code the serving thread was, by its instruction pointer.
struct NativeCode {
  std::string module;      ///< file most of the samples were in; empty: in none, made at run time
  unsigned in_module = 0;  ///< so many
  unsigned samples = 0;    ///< of so many
};

/// The thread that does what the serving one waits to be done.
struct Delegate {
  std::uint64_t tstate = 0;
  std::optional<Peer> peer;  ///< of that thread
  /// Of what is done there, be it a coroutine; empty: its own.
  std::vector<PythonFrame> stack = {};
  std::string package = {};  ///< it is that package's own thread, whose code waits: Doer::package
};

/// Local ports in use towards one far end.
struct PortUse {
  std::string address;  ///< the far end with most connections
  std::uint64_t used = 0;
  std::uint64_t range = 0;  ///< size of net.ipv4.ip_local_port_range
};

/// A child process of the worker.
struct Child {
  pid_t pid = 0;
  char state = '?';
  std::string command;  ///< name of the program without its arguments, they may be secret
};

/// How a worker ended.
struct Death {
  int wait_status = 0;     ///< as waitpid(2) gives it
  bool ours = false;       ///< the kill is in our ledger
  std::string our_reason;  ///< e.g. "since it did not react to SIGABRT within 1.0 s"
  bool planned = false;    ///< drained, max_requests, shutdown: nothing to explain
  int crash_signal = 0;    ///< Header::crash, 0 none
  int crash_code = 0;      ///< si_code
  pid_t crash_tid = 0;
  pid_t sender = 0;  ///< who sent the signal with kill(2), 0 nobody or not known
  std::uint64_t address = 0;
  std::string module;  ///< file the crashing instruction is in, e.g. "libc.so.6"; empty not known
  bool stack_overflow = false;  ///< the address lies at the low end of the thread's stack
  bool in_os_exit = false;      ///< a thread was inside os._exit
  pid_t asked_by = 0;  ///< it left in order because this process, which is not ours, told it to
  bool was_ready = false;
  std::string boot_error;               ///< the exception that ended the boot
  std::vector<PythonFrame> boot_stack;  ///< where it was raised, innermost first
  CgroupCounters before;                ///< at the last look before
  CgroupCounters after;                 ///< at the reaping
  unsigned oom_blamed =
      0;  ///< workers reaped together with this one that took a share of the rise already
  std::vector<OomVictim> oom_victims;  ///< whom the kernel's log names since the last death
  bool had_children = false;           ///< it has waited for a child process of its own
  std::uint64_t last_rss_bytes = 0;    ///< at the last look; 0 not seen
};

/// A request that was under way.
struct InFlight {
  std::string request;          ///< raw bytes
  std::int64_t running_ns = 0;  ///< since it began
  std::string place;            ///< where it was last seen, "app.py:9 in wait"; empty: not seen
};

/// Everything decide() may use.
struct Evidence {
  pid_t pid = 0;
  pid_t arbiter = 0;
  std::string app_directory;  ///< places below it are shown relative to it; may be empty
  std::string request;        ///< "GET /orders", raw bytes, no query string; empty: no request
  heartbeat::Phase phase = heartbeat::Phase::Idle;
  heartbeat::Life life = heartbeat::Life::Ready;
  std::int64_t running_ns = 0;       ///< since the request (or the boot) began
  std::int64_t timeout_ns = 0;       ///< the limit it ran into, 0 none
  std::string client;                ///< "10.0.0.9:51123"
  std::uint64_t bytes_in = 0;        ///< of the body
  std::uint64_t bytes_out = 0;       ///< of the response
  std::int64_t silent_ns = -1;       ///< since bytes last moved or the phase changed; -1 not known
  std::vector<ProcessLook> looks;    ///< around the time-out, oldest first, two or more
  std::vector<ProcessLook> samples;  ///< light looks since the request began, oldest first
  /// The serving thread again and again within milliseconds, after the last of `looks`: a loop of
  /// few bytecodes can show the same one in every look, a single call into C always does.
  std::vector<ThreadLook> quick;
  bool native_asked = false;         ///< it stood still on the CPU: `native` was asked for
  std::optional<NativeCode> native;  ///< empty: not readable, or not asked for
  std::optional<Peer> peer;          ///< of the serving thread in the last look
  std::vector<LockWait> lock_waits;  ///< of all threads in the last look
  std::optional<Delegate> delegate;  ///< of the serving thread in the last look
  /// Of who asked for what the serving thread, or the delegate, does: where that shows no code of
  /// the application. Empty: nobody is known.
  std::vector<PythonFrame> asked;
  std::string handling;           ///< type of the exception that the serving thread handles then
  std::optional<Peer> contended;  ///< the only file that the worker has open and another has locked
  std::vector<Child> children;
  std::optional<PortUse> ports;  ///< Inspector::port_use()
  std::int64_t user_tasks = -1;  ///< processes and threads of the worker's user; -1 not counted
  std::optional<Death> death;    ///< empty: it is still alive
  /// All of them, oldest first, where a death has ended several and none is known to have caused
  /// it: `request` is empty then.
  std::vector<InFlight> in_flight;
  unsigned busy_threads = 0;    ///< app threads of this worker with a request, this one included
  unsigned server_busy = 0;     ///< the same of all workers; 0: not counted
  unsigned server_threads = 0;  ///< app threads that all workers have
  unsigned queued = 0;          ///< whole requests that waited for an app thread
  double load = -1;             ///< 1 minute load average; -1 not readable
  unsigned cpus = 0;            ///< online CPUs
  std::int64_t arbiter_delay_ns =
      0;  ///< how long the arbiter itself waited for a CPU over the looks
};

}  // namespace tricorn::diagnose
