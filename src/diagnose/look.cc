#include "diagnose/look.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "diagnose/cgroup.h"
#include "diagnose/coroutines.h"
#include "diagnose/database_file.h"
#include "diagnose/delegates.h"
#include "diagnose/facts.h"
#include "diagnose/frames.h"
#include "diagnose/greenlets.h"
#include "diagnose/kernel_look.h"
#include "diagnose/peer.h"
#include "diagnose/pipe_ends.h"
#include "diagnose/procfs.h"
#include "diagnose/python_stack.h"
#include "diagnose/python_waits.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {
namespace {

using heartbeat::Header;
using heartbeat::Page;
using heartbeat::Slot;

/// Most threads of /proc/PID/task that a full look reads, so that a look stays bounded.
constexpr std::size_t kThreadsMax = 256;
constexpr std::size_t kChildrenMax = 32;
// Quick looks, about 0.15 ms each: so many, and on a busy machine, where a thread may stand still
// for want of a CPU, more of them until it was seen with one. The pauses give it ours: back to
// back, the looks kept the thread of a two-CPU machine from running at all.
constexpr std::size_t kQuickLooks = 40;
constexpr std::size_t kQuickLooksMax = 300;
constexpr std::int64_t kQuickLooksNs = 100'000'000;
constexpr timespec kQuickPause{0, 200'000};
constexpr int kMovesSeen = 2;
/// A higher limit of processes is not counted against: that takes 20 us a process. Source: our
/// bound.
constexpr std::int64_t kProcessLimitCounted = 4096;

std::string file_text(int directory, const char* path) {
  return read_file(directory, path).value_or("");
}

void add_python(ThreadLook& look, PythonThread&& thread) {
  look.tstate = thread.tstate;
  look.stack = without_server(std::move(thread.stack));
  look.awaited = thread.awaited;
  look.instruction = thread.instruction;
  look.jumps = thread.jumps;
}

void mark_gil(ThreadLook& look, const PythonState& state, const TricornPythonLayout& layout) {
  look.has_gil = state.gil_holder != 0 && look.tstate == state.gil_holder;
  look.waits_for_gil = call_of(look.syscall, look.args[1]) == Call::Futex &&
                       look.args[0] >= layout.gil_start &&
                       look.args[0] < layout.gil_start + layout.gil_bytes;
}

void copy_slot(const Slot& slot, ProcessLook& look) {
  look.phase = slot.phase.load(std::memory_order_relaxed);
  look.bytes_in = slot.bytes_in.load(std::memory_order_relaxed);
  look.bytes_out = slot.bytes_out.load(std::memory_order_relaxed);
  look.progress_ns = slot.progress_ns.load(std::memory_order_relaxed);
}

std::int64_t count_descriptors(int process) {
  // Since Linux 6.2 the directory's size is the number of open descriptors: proc_pid_fd(5).
  struct stat status {};
  if (::fstatat(process, "fd", &status, 0) == 0 && status.st_size > 0) return status.st_size;
  const auto entries = numbers_in(process, "fd");
  return entries.empty() ? -1 : static_cast<std::int64_t>(entries.size());
}

void copy_limits(int process, ProcessLook& look) {
  const std::string limits = file_text(process, "limits");
  look.fd_limit = limit_in(limits, "Max open files");
  look.address_space_limit = limit_in(limits, "Max address space");
  look.process_limit = limit_in(limits, "Max processes");
}

/// Processes and threads of a process's user, as RLIMIT_NPROC counts them. -1: the limit does not
/// bind this user, or nothing is readable.
std::int64_t count_user_tasks(int process) {
  struct stat own {};
  if (::fstat(process, &own) != 0 || own.st_uid == 0) return -1;
  const base::UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::int64_t tasks = 0;
  for (const int pid : numbers_in(proc.get(), ".")) {
    struct stat other {};
    const std::string name = std::to_string(pid);
    if (::fstatat(proc.get(), name.c_str(), &other, 0) != 0 || other.st_uid != own.st_uid) continue;
    const std::string status = file_text(proc.get(), (name + "/status").c_str());
    tasks += static_cast<std::int64_t>(value_of(status, "Threads").value_or(0));
  }
  return tasks;
}

std::string client_of(const Slot& slot) {
  const heartbeat::Client client = slot.client;
  if (client.family == AF_UNIX) return "unix";
  if (client.family != AF_INET && client.family != AF_INET6) return {};
  const char* form = client.family == AF_INET6 ? "[{}]:{}" : "{}:{}";
  return fmt::format(fmt::runtime(form), heartbeat::text_of(client), client.port);
}

}  // namespace

std::string request_of(const Slot& slot) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto before = slot.sequence.load(std::memory_order_acquire);
    std::string text(slot.request, std::min<std::size_t>(slot.request_bytes, sizeof slot.request));
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && slot.sequence.load(std::memory_order_relaxed) == before) return text;
  }
  return {};
}

Target target_of(const Slot& slot) {
  return {slot.tid.load(std::memory_order_relaxed), slot.tstate.load(std::memory_order_relaxed),
          &slot};
}

struct Inspector::State {
  void look_at_server(const Target& target, bool all, ProcessLook& look);
  [[nodiscard]] std::vector<std::uint64_t> c_stack(const ThreadLook& look) const;
  [[nodiscard]] std::string_view service_by_callers(const ThreadLook& look) const;
  [[nodiscard]] std::optional<Peer> peer_of(const ThreadLook& thread) const;
  [[nodiscard]] std::optional<Peer> peer_of_library(const ThreadLook& thread) const;
  [[nodiscard]] std::optional<Peer> peer_of_descriptors(const ThreadLook& thread) const;
  State(pid_t pid_of, const Page& page_of)
      : pid(pid_of), page(&page_of), process(open_process(pid_of)), memory(pid_of) {}

  [[nodiscard]] const TricornPythonLayout& layout() const { return page->header().python; }
  [[nodiscard]] bool python_readable() const {
    return page->header().layout_state.load(std::memory_order_acquire) == 1 && layout().filled == 1;
  }
  void refresh(bool all, const std::string& stat, const std::string& status);
  void refresh_all();
  [[nodiscard]] bool dies_now() const;
  void add_python_threads(const Target& target, const PythonState& state, ProcessLook& look) const;
  [[nodiscard]] pid_t tid_of(const PythonThread& thread, const Target& target, bool main) const;
  [[nodiscard]] PythonThread read_python(std::uint64_t tstate) const;
  [[nodiscard]] PythonState read_gil(ProcessLook& look) const;
  [[nodiscard]] const Slot* slot_of(std::uint64_t tstate) const;

  pid_t pid;
  const Page* page;
  base::UniqueFd process;  ///< /proc/PID; stays this process's even when the pid is used again
  ProcessMemory memory;
  CgroupReader cgroups;
  CgroupCounters before;  ///< last counters read while the process was certainly not being killed
  std::uint64_t last_rss = 0;
  std::string crash_module;
  bool stack_overflow = false;
};

std::optional<Peer> Inspector::State::peer_of(const ThreadLook& thread) const {
  if (auto file = opened_file(thread, memory)) return file;
  const Call call = call_of(thread.syscall, thread.args[1]);
  // SQLite waits for a lock by sleeping.
  if (call == Call::Sleep)
    return is_in_sqlite(file_text(process.get(), "maps"), c_stack(thread))
               ? std::optional(contended_database(process.get()))
               : std::nullopt;
  auto peer = peer_of_descriptors(thread);
  const bool own = !peer || peer->internal || peer->address == kEventDescriptor;
  if (own && watches_descriptors(call)) {
    if (auto other = peer_of_library(thread)) return other;
  }
  return peer;
}

/// A library in C may have threads of its own that do its input and output, and wake the one that
/// has called it (gRPC, ZeroMQ): whom those of the same library wait for.
std::optional<Peer> Inspector::State::peer_of_library(const ThreadLook& thread) const {
  if (!thread.stack.empty() && is_asyncio(thread.stack.front())) return std::nullopt;
  const std::string maps = file_text(process.get(), "maps");
  const auto libraries = libraries_of_callers(maps, c_stack(thread));
  if (libraries.empty()) return std::nullopt;
  const auto tids = numbers_in(process.get(), "task");
  for (std::size_t i = 0; i < std::min(tids.size(), kThreadsMax); ++i) {
    if (tids[i] == thread.tid) continue;
    const ThreadLook other = other_thread(process.get(), tids[i]);
    if (!watches_descriptors(call_of(other.syscall, other.args[1]))) continue;
    const auto called = libraries_of_callers(maps, c_stack(other));
    const bool same = std::any_of(called.begin(), called.end(),
                                  [&](std::string_view one) { return libraries.contains(one); });
    auto peer = same ? peer_of_descriptors(other) : std::nullopt;
    const bool far = peer && !peer->internal && !peer->client && peer->port != 0;
    if (far && peer->state != "LISTEN") return peer;
  }
  return std::nullopt;
}

std::optional<Peer> Inspector::State::peer_of_descriptors(const ThreadLook& thread) const {
  const Call call = call_of(thread.syscall, thread.args[1]);
  std::vector<Peer> peers;
  for (const int fd : descriptors_of(thread, memory, process.get())) {
    auto peer = peer_of_descriptor(process.get(), fd);
    if (!peer) continue;
    if (peer->kind == Peer::Kind::Unix && peer->address.empty()) {
      peer->address = connected_path(thread, memory);
      peer->service = service_of_path(peer->address);
    }
    peer->client = static_cast<std::uint32_t>(fd) < page->hold_count() &&
                   page->hold(fd).load(std::memory_order_relaxed) != heartbeat::Hold::None;
    peers.push_back(std::move(*peer));
  }
  auto peer = choose_peer(std::move(peers));
  if (peer && peer->kind == Peer::Kind::Pipe)
    find_other_end(process.get(), call != Call::Send, *peer);
  const bool upstream =
      peer && (peer->kind == Peer::Kind::Tcp || peer->kind == Peer::Kind::Unix) && !peer->client;
  if (upstream && peer->service.empty()) peer->service = service_by_callers(thread);
  if (upstream && peer->service.empty()) peer->service = service_of_listener(*peer);
  if (upstream) peer->server = is_this_server(process.get(), *peer);
  return peer;
}

/// Words of a sleeping thread's C stack, from its top.
std::vector<std::uint64_t> Inspector::State::c_stack(const ThreadLook& look) const {
  std::vector<std::uint64_t> stack(512);  // 4 KiB: the innermost dozen C frames
  // A thread's first frames may be nearer to the end of its stack than that.
  while (!stack.empty() && !memory.read(look.sp, stack.data(), stack.size() * sizeof stack[0]))
    stack.resize(stack.size() / 2);
  return stack;
}

std::string_view Inspector::State::service_by_callers(const ThreadLook& look) const {
  return service_of_callers(file_text(process.get(), "maps"), c_stack(look));
}

/// The serving thread and what its status says of the process, then the counters. All from the same
/// two texts: each file costs some 8 us, and light looks are taken of every late request.
void Inspector::State::look_at_server(const Target& target, bool all, ProcessLook& look) {
  const std::string stat = task_text(process.get(), target.tid, "stat");
  const std::string status = task_text(process.get(), target.tid, "status");
  look.threads.push_back(kernel_look(process.get(), target.tid, stat));
  add_place_in_kernel(process.get(), look.threads.back());
  parse_thread_status(status, look.threads.back());
  parse_status(status, look);
  if (target.slot != nullptr) copy_slot(*target.slot, look);
  refresh(all, stat, status);
  look.cgroup = before;
  if (look.rss_bytes != 0) last_rss = look.rss_bytes;
}

/// Renews the counters that a later death is compared with. A process that is being killed keeps
/// the old ones: the kernel counts an OOM kill just before it sends the signal. It keeps its group
/// too: version 1 says "/" of a process that is exiting. Source: Linux proc_cgroup_show()
void Inspector::State::refresh(bool all, const std::string& stat, const std::string& status) {
  if (is_dying(stat, status)) return;
  const auto membership = read_file(process.get(), "cgroup");
  if (!membership || (*membership != cgroups.membership() && dies_now())) return;
  const bool moved = cgroups.follow(*membership);
  CgroupCounters now = before;
  if (all || moved) {
    now = cgroups.read_all();
  } else {
    cgroups.renew(now);
  }
  // The kill that was counted may be its own: it was begun after `stat` was read.
  if (now.oom_kill != before.oom_kill && dies_now()) return;
  before = std::move(now);
}

bool Inspector::State::dies_now() const {
  return is_dying(file_text(process.get(), "stat"), file_text(process.get(), "status"));
}

void Inspector::State::refresh_all() {
  refresh(true, file_text(process.get(), "stat"), file_text(process.get(), "status"));
}

const Slot* Inspector::State::slot_of(std::uint64_t tstate) const {
  for (std::uint32_t i = 0; i < page->slot_count(); ++i) {
    if (page->slot(i).tstate.load(std::memory_order_relaxed) == tstate) return &page->slot(i);
  }
  return nullptr;
}

PythonState Inspector::State::read_gil(ProcessLook& look) const {
  PythonState state;
  if (python_readable()) state = read_state(memory, layout());
  look.python_readable = state.readable;
  look.gil_locked = state.gil_locked;
  look.gc_collecting = state.gc_collecting;
  return state;
}

PythonThread Inspector::State::read_python(std::uint64_t tstate) const {
  PythonThread thread = read_request_thread(memory, layout(), tstate);
  add_awaited(memory, layout(), thread);
  return thread;
}

/// Kernel id of a Python thread. CPython 3.10 does not keep it: the slots know the app threads, the
/// oldest thread is the main one, others stay 0.
pid_t Inspector::State::tid_of(const PythonThread& thread, const Target& target, bool main) const {
  if (target.tstate != 0 && thread.tstate == target.tstate) return target.tid;
  if (thread.tid != 0) return thread.tid;
  if (const Slot* slot = slot_of(thread.tstate); slot != nullptr)
    return slot->tid.load(std::memory_order_relaxed);
  return main ? pid : 0;
}

void Inspector::State::add_python_threads(const Target& target, const PythonState& state,
                                          ProcessLook& look) const {
  const auto states = read_thread_list(memory, layout());
  for (const std::uint64_t tstate : states) {
    PythonThread thread = read_python(tstate);
    const pid_t tid = tid_of(thread, target, tstate == states.back());
    if (state.gil_holder == tstate) look.gil_holder = tid;
    const auto same = [tid](const ThreadLook& other) { return tid != 0 && other.tid == tid; };
    auto known = std::find_if(look.threads.begin(), look.threads.end(), same);
    if (known == look.threads.end()) known = look.threads.emplace(look.threads.end());
    known->tid = tid;
    add_python(*known, std::move(thread));
  }
}

Inspector::Inspector(pid_t pid, const Page& page) : state_(std::make_unique<State>(pid, page)) {
  state_->refresh_all();
}
Inspector::~Inspector() = default;
Inspector::Inspector(Inspector&&) noexcept = default;
Inspector& Inspector::operator=(Inspector&&) noexcept = default;

void Inspector::refresh() { state_->refresh_all(); }

ProcessLook Inspector::light_look(const Target& target) {
  ProcessLook look;
  look.at_ns = base::monotonic_ns();
  const PythonState python = state_->read_gil(look);
  state_->look_at_server(target, false, look);
  ThreadLook& thread = look.threads[0];
  if (python.readable && target.tstate != 0) {
    add_python(thread, state_->read_python(target.tstate));
    mark_gil(thread, python, state_->layout());
    if (thread.has_gil) look.gil_holder = target.tid;
  }
  look.took_ns = base::monotonic_ns() - look.at_ns;
  return look;
}

void Inspector::add_peer(std::vector<ProcessLook>& samples) const {
  if (samples.empty() || samples.back().threads.empty()) return;
  ProcessLook& now = samples.back();
  const ProcessLook* before = samples.size() < 2 ? nullptr : &samples[samples.size() - 2];
  const ThreadLook& thread = now.threads[0];
  if (thread.state != 'S' && thread.state != 'D') return;
  const bool same =
      before != nullptr && !before->threads.empty() && before->threads[0].state == thread.state &&
      before->threads[0].syscall == thread.syscall && before->threads[0].args == thread.args &&
      before->threads[0].stack == thread.stack;
  now.peer = same && before->peer ? before->peer : peer_of(now);
}

ProcessLook Inspector::full_look(const Target& target) {
  ProcessLook look;
  look.at_ns = base::monotonic_ns();
  look.full = true;
  const int process = state_->process.get();
  const PythonState python = state_->read_gil(look);
  state_->look_at_server(target, true, look);
  for (const int tid : numbers_in(process, "task")) {
    if (tid == target.tid || look.threads.size() >= kThreadsMax) continue;
    look.threads.push_back(other_thread(process, tid));
  }
  if (python.readable) state_->add_python_threads(target, python, look);
  for (ThreadLook& thread : look.threads) mark_gil(thread, python, state_->layout());
  look.fds = count_descriptors(process);
  copy_limits(process, look);
  look.took_ns = base::monotonic_ns() - look.at_ns;
  return look;
}

std::optional<std::vector<StackSample>> Inspector::stack_samples(std::size_t threads_max) const {
  if (!state_->python_readable()) return std::nullopt;
  const PythonState python = read_state(state_->memory, state_->layout());
  if (!python.readable) return std::nullopt;
  std::vector<StackSample> samples;
  for (const std::uint64_t tstate : read_thread_list(state_->memory, state_->layout())) {
    const Slot* slot = state_->slot_of(tstate);
    const bool idle = slot != nullptr && slot->started_ns.load(std::memory_order_relaxed) == 0;
    if (idle) continue;
    if (samples.size() >= threads_max) break;
    StackSample sample{slot != nullptr, tstate == python.gil_holder, {}};
    PythonThread thread = state_->read_python(tstate);
    sample.stack = without_server(std::move(thread.stack));
    if (!sample.stack.empty()) samples.push_back(std::move(sample));
  }
  return samples;
}

std::optional<Peer> Inspector::peer_of(const ProcessLook& look) const {
  return look.threads.empty() ? std::nullopt : state_->peer_of(look.threads[0]);
}

std::vector<LockWait> Inspector::lock_waits(const ProcessLook& look) const {
  if (!state_->python_readable()) return {};
  return read_lock_waits(state_->memory, state_->layout(), look.threads);
}

std::optional<Delegate> Inspector::delegate_of(const ProcessLook& look,
                                               std::vector<PythonFrame>& asked) const {
  if (!state_->python_readable()) return std::nullopt;
  auto doer = read_delegate(state_->memory, state_->layout(), look.threads, asked);
  if (!doer) return std::nullopt;
  ThreadLook& thread = doer->thread;
  return Delegate{thread.tstate, state_->peer_of(thread), std::move(thread.stack),
                  std::move(doer->package)};
}

void Inspector::add_quick_looks(const Target& target, Evidence& evidence) {
  const auto runs = [](const ProcessLook& look) {
    return !look.threads.empty() && look.threads[0].state == 'R';
  };
  if (std::none_of(evidence.looks.begin(), evidence.looks.end(), runs)) return;
  std::uint64_t before = evidence.looks.back().threads[0].instruction;
  const std::int64_t end = base::monotonic_ns() + kQuickLooksNs;
  for (int moves = 0; moves < kMovesSeen;) {
    const std::size_t taken = evidence.quick.size();
    if (taken >= kQuickLooks && looks_while_running(evidence) >= kRunningLooks) return;
    if (taken >= kQuickLooksMax || base::monotonic_ns() > end) return;
    static_cast<void>(::nanosleep(&kQuickPause, nullptr));
    ProcessLook look = light_look(target);
    if (look.threads.empty()) return;
    const ThreadLook& now = evidence.quick.emplace_back(std::move(look.threads[0]));
    if (now.instruction != before) ++moves;
    before = now.instruction;
  }
}

std::unique_ptr<InstructionSampler> Inspector::watch_instructions(const ProcessLook& look) {
  if (look.threads.empty() || look.threads[0].state != 'R') return nullptr;
  return std::make_unique<InstructionSampler>(look.threads[0].tid);
}

void Inspector::add_native_code(std::unique_ptr<InstructionSampler> sampler,
                                Evidence& evidence) const {
  const auto moved = [&](const ThreadLook& look) {
    return look.instruction != evidence.quick.front().instruction;
  };
  if (sampler == nullptr || evidence.quick.empty()) return;
  if (std::any_of(evidence.quick.begin(), evidence.quick.end(), moved)) return;
  evidence.native_asked = true;
  auto seen = sampler->seen();
  if (!seen) return;
  evidence.native = native_code_in(file_text(state_->process.get(), "maps"), *std::move(seen));
}

void Inspector::investigate(Evidence& evidence) const {
  if (evidence.looks.empty()) return;
  const ProcessLook& last = evidence.looks.back();
  evidence.peer = peer_of(youngest_blocked(evidence.looks));
  evidence.children = children();
  evidence.ports = port_use();
  evidence.lock_waits = lock_waits(last);
  evidence.delegate = delegate_of(last, evidence.asked);
  if (state_->python_readable() && !last.threads.empty()) {
    const ThreadLook& thread = last.threads[0];
    evidence.handling = exception_handled(state_->memory, state_->layout(), thread.tstate);
    if (call_of(thread.syscall, thread.args[1]) == Call::Sleep && !evidence.peer)
      evidence.contended = contended_file(state_->process.get());
  }
  if (last.process_limit > 0 && last.process_limit <= kProcessLimitCounted)
    evidence.user_tasks = count_user_tasks(state_->process.get());
}

std::optional<PortUse> Inspector::port_use() const {
  const std::string tables =
      file_text(state_->process.get(), "net/tcp") + file_text(state_->process.get(), "net/tcp6");
  return busiest_far_end(tables, file_text(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range"));
}

std::vector<Child> Inspector::children() const {
  std::vector<Child> children;
  for (const int tid : numbers_in(state_->process.get(), "task")) {
    const std::string pids =
        file_text(state_->process.get(), fmt::format("task/{}/children", tid).c_str());
    for (const std::string_view field : fields_of(pids, kChildrenMax)) {
      Child child;
      child.pid = static_cast<pid_t>(number_from(field));
      const base::UniqueFd process = open_process(child.pid);
      if (!process.valid() || children.size() >= kChildrenMax) continue;
      ThreadLook look;
      parse_stat(file_text(process.get(), "stat"), look);
      child.state = look.state;
      child.command = program_of(process.get());
      children.push_back(std::move(child));
    }
  }
  return children;
}

Death Inspector::autopsy(int wait_status) {
  const Header& header = state_->page->header();
  Death death;
  death.wait_status = wait_status;
  death.crash_signal = static_cast<int>(header.crash.signal.load(std::memory_order_acquire));
  death.crash_code = header.crash.code;
  death.crash_tid = header.crash.tid;
  death.sender = header.crash.sender_pid;
  death.address = header.crash.address;
  death.module = state_->crash_module;
  death.stack_overflow = state_->stack_overflow;
  death.in_os_exit = header.exit_tid.load(std::memory_order_acquire) != 0;
  death.was_ready = header.ready_ns.load(std::memory_order_relaxed) != 0;
  death.boot_error = heartbeat::text_of(header.boot_error);
  death.boot_stack = without_server(stack_from(heartbeat::text_of(header.boot_stack)));
  death.before = state_->before;
  death.after = state_->cgroups.read_all();
  death.last_rss_bytes = state_->last_rss;
  death.had_children = has_waited_for_children(file_text(state_->process.get(), "stat"));
  return death;
}

std::string Inspector::module_of(std::uint64_t pc) const {
  return module_at(file_text(state_->process.get(), "maps"), pc);
}

void Inspector::note_crash() {
  const heartbeat::Crash& crash = state_->page->header().crash;
  const std::string maps = file_text(state_->process.get(), "maps");
  // A signal that a handler before ours has raised again comes from its own code, not from the
  // fault's; abort() always raises.
  const bool raised_again = crash.code <= 0 && crash.signal.load() != SIGABRT;
  if (raised_again) return;
  state_->crash_module = module_at(maps, crash.pc);
  state_->stack_overflow = is_stack_overflow(maps, crash.address, crash.sp);
}

void describe_request(const Page& page, const Slot& slot, std::int64_t now_ns, Evidence& evidence) {
  const Header& header = page.header();
  evidence.pid = header.pid.load(std::memory_order_relaxed);
  evidence.life = header.life.load(std::memory_order_relaxed);
  evidence.request = request_of(slot);
  evidence.phase = slot.phase.load(std::memory_order_relaxed);
  evidence.client = client_of(slot);
  const std::int64_t started = slot.started_ns.load(std::memory_order_relaxed);
  const std::int64_t progress = slot.progress_ns.load(std::memory_order_relaxed);
  evidence.running_ns = started == 0 ? 0 : now_ns - started;
  evidence.silent_ns = progress == 0 ? -1 : now_ns - progress;
  evidence.bytes_in = slot.bytes_in.load(std::memory_order_relaxed);
  evidence.bytes_out = slot.bytes_out.load(std::memory_order_relaxed);
  evidence.queued = page.header().waiting.load(std::memory_order_relaxed);
  evidence.busy_threads = 0;
  for (std::uint32_t i = 0; i < page.slot_count(); ++i) {
    if (page.slot(i).started_ns.load(std::memory_order_relaxed) != 0) ++evidence.busy_threads;
  }
  evidence.cpus = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  double load = -1;
  evidence.load = ::getloadavg(&load, 1) == 1 ? load : -1;
}

}  // namespace tricorn::diagnose
