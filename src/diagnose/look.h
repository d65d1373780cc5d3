// Looks at a worker from outside while it runs, hangs or is stopped: /proc, its shared page, its
// memory, control groups, sock_diag. Nothing in the worker has to cooperate and nothing is stopped.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/instructions.h"
#include "heartbeat/page.h"

namespace tricorn::diagnose {

/// Which thread a look is about.
struct Target {
  pid_t tid = 0;  ///< kernel id; the worker's pid during the boot
  std::uint64_t tstate =
      0;  ///< its PyThreadState; 0: found by tid, else the main thread's is taken
  const heartbeat::Slot* slot = nullptr;  ///< phase and bytes come from here; may be null
};

/// The thread that serves `slot`.
[[nodiscard]] Target target_of(const heartbeat::Slot& slot);

/// "METHOD path" of a slot that may change while it is copied; empty when it did.
[[nodiscard]] std::string request_of(const heartbeat::Slot& slot);

/// One Python thread at one moment, for a profile.
struct StackSample {
  bool serves = false;  ///< it runs a request; else it is a thread of the application's own
  bool has_gil = false;
  std::vector<PythonFrame> stack;  ///< innermost first, not empty
};

/// Reads one worker. Needs no privilege for an own child of the same uid. One thread at a time.
class Inspector {
 public:
  /// Takes the first reading of the cgroup counters: construct it when the worker is forked.
  /// @param page  the worker's page; must outlive the Inspector
  Inspector(pid_t pid, const heartbeat::Page& page);
  ~Inspector();
  Inspector(Inspector&&) noexcept;
  Inspector& operator=(Inspector&&) noexcept;

  /// Stack of one thread, its CPU counters, memory, OOM counters. Aim: < 100 us.
  [[nodiscard]] ProcessLook light_look(const Target& target);
  /// Says whom the serving thread of the last of `samples` waits for, of one request: what it waits
  /// for is over when a later phase of it is judged. Not looked up again while call and place
  /// stay the same. Takes 0.1 ms to, for the other end of a pipe, 50 ms.
  void add_peer(std::vector<ProcessLook>& samples) const;
  /// Adds light looks in a row while the serving thread, running in one of `evidence.looks`, seems
  /// to stand still: until its bytecode is seen to move, or not to move though it had a CPU. Takes
  /// some 15 ms, on a busy machine up to 100.
  void add_quick_looks(const Target& target, Evidence& evidence);
  /// Begins to watch the machine code of the serving thread, when it is on the CPU in that look.
  /// @return null when it is not
  [[nodiscard]] static std::unique_ptr<InstructionSampler> watch_instructions(
      const ProcessLook& look);
  /// Ends that, and says where it was if it stood still in one call: one reading of its mappings.
  /// Call it after add_quick_looks(). @param sampler  may be null
  void add_native_code(std::unique_ptr<InstructionSampler> sampler, Evidence& evidence) const;
  /// All threads with their stacks, GIL, GC, descriptors, limits. Aim: < 1 ms.
  [[nodiscard]] ProcessLook full_look(const Target& target);
  /// Stacks of the Python threads that run requests, and of the application's own; app threads
  /// without a request are left out. Only memory is read: some 0.1 ms a thread.
  /// @param threads_max  so many are looked at
  /// @return nothing when Python cannot be read
  [[nodiscard]] std::optional<std::vector<StackSample>> stack_samples(
      std::size_t threads_max) const;
  /// Renews the counters a later death is compared with; every look does so too. Call it for all
  /// other workers after one was reaped, so that an OOM kill is not blamed on two of them.
  void refresh();
  /// What the serving thread of a look waits for. @return nothing when it does not wait on a
  /// descriptor.
  [[nodiscard]] std::optional<Peer> peer_of(const ProcessLook& look) const;
  /// The locks its threads wait for, and who has them. @param look  the last full one
  [[nodiscard]] std::vector<LockWait> lock_waits(const ProcessLook& look) const;
  /// The thread that does what the serving one waits to be done, if that is what it waits for.
  /// @param asked  Evidence::asked
  [[nodiscard]] std::optional<Delegate> delegate_of(const ProcessLook& look,
                                                    std::vector<PythonFrame>& asked) const;
  /// Fills in what takes longer than a look, once, when it is judged: peer, children, ports, locks,
  /// delegate; from the last of `evidence.looks`.
  void investigate(Evidence& evidence) const;
  /// Local ports in use towards the far end that has most of them. Reads all sockets of the
  /// worker's network namespace: for incidents only. @return nothing when not readable or no
  /// connection is there
  [[nodiscard]] std::optional<PortUse> port_use() const;
  /// The worker's child processes.
  [[nodiscard]] std::vector<Child> children() const;
  /// What is known about the end: the page's last words, counters before and after. Call it at once
  /// after waitpid(2) (or with WNOWAIT before). `ours`, `our_reason`, `planned` and `oom_blamed`
  /// are the caller's to fill in.
  [[nodiscard]] Death autopsy(int wait_status);
  /// File the instruction `pc` of the living worker lies in, without its folder. Empty: not known.
  [[nodiscard]] std::string module_of(std::uint64_t pc) const;
  /// Tells, after Verb::Crashed and before Verb::Go, where in the code the fault happened; kept for
  /// autopsy().
  void note_crash();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Fills in everything about `slot`'s request: request, phase, client, bytes, running_ns,
/// silent_ns, and of the worker: pid, life, busy_threads, queued, load, cpus.
/// @param now_ns  monotonic
void describe_request(const heartbeat::Page& page, const heartbeat::Slot& slot, std::int64_t now_ns,
                      Evidence& evidence);

}  // namespace tricorn::diagnose
