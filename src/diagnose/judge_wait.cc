#include <fmt/format.h>

#include <algorithm>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using Judgement = std::optional<Verdict>;

/// Bit of the futex operation: the lock is not shared with other processes. Source: futex(2)
constexpr std::uint64_t kFutexPrivate = 128;

std::string waited(const Facts& facts) {
  const double limit_s = static_cast<double>(facts.evidence.timeout_ns) / 1e9;
  const double ran_s = static_cast<double>(facts.evidence.running_ns) / 1e9;
  const double whole_s = limit_s > 0 ? limit_s : ran_s;
  return fmt::format("{:.1f} of {:.1f} s", facts.waited_s, std::max(whole_s, facts.waited_s));
}

bool is(const Facts& facts, Call call) { return facts.call == call; }

bool waits_for_data(const Facts& facts) {
  return is(facts, Call::Receive) || is(facts, Call::Send) || is(facts, Call::Poll) ||
         is(facts, Call::Select) || is(facts, Call::Epoll);
}

const Peer* peer_of(const Facts& facts) {
  return facts.evidence.peer ? &*facts.evidence.peer : nullptr;
}

bool is_peer(const Facts& facts, Peer::Kind kind) {
  return peer_of(facts) != nullptr && peer_of(facts)->kind == kind;
}

bool is_socket(const Facts& facts) {
  return is_peer(facts, Peer::Kind::Tcp) || is_peer(facts, Peer::Kind::Udp) ||
         is_peer(facts, Peer::Kind::Unix);
}

Verdict with_peer(Verdict verdict, const Facts& facts) {
  if (peer_of(facts) != nullptr) verdict.peer = peer_text(*peer_of(facts));
  return verdict;
}

Verdict likely(const Facts& facts, Cause cause, std::string because) {
  return with_peer(verdict_of(cause, Confidence::Likely, std::move(because)), facts);
}

Judgement for_gil(const Facts& facts) {
  constexpr double kMostLooks = 0.5;
  if (facts.gil_wait_share < kMostLooks) return std::nullopt;
  const auto& threads = facts.last->threads;
  const auto holder = std::find_if(threads.begin(), threads.end(),
                                   [](const ThreadLook& thread) { return thread.has_gil; });
  std::string who = "another thread";
  Verdict verdict = verdict_of(Cause::WaitGil, Confidence::Likely, "");
  if (holder != threads.end() && !holder->stack.empty()) {
    const PythonFrame& frame = *place_in(holder->stack);
    verdict.place = place_text(frame, facts.evidence.app_directory);
    verdict.function = frame.function;
    who = fmt::format("thread {}", holder->tid);
  }
  verdict.because = fmt::format("waited for the GIL, which {} holds", who);
  return verdict;
}

std::string child_text(const Facts& facts) {
  const auto& children = facts.evidence.children;
  if (children.empty()) return "a child process";
  const Child& child = children.back();
  return fmt::format("the child process {} ({}){}", child.pid, child.command,
                     children.size() > 1 ? " and others" : "");
}

Judgement for_child(const Facts& facts) {
  const bool idiom = waits_in(facts.stack(), "subprocess.py", "") ||
                     waits_in(facts.stack(), "/multiprocessing/", "");
  const bool through_pipe = (waits_for_data(facts) || is(facts, Call::Sleep)) && idiom &&
                            !facts.evidence.children.empty();
  const bool pidfd = is_peer(facts, Peer::Kind::Process);
  if (!is(facts, Call::WaitChild) && !through_pipe && !pidfd) return std::nullopt;
  Verdict verdict = verdict_of(Cause::WaitSubprocess, Confidence::Likely,
                               fmt::format("waited {} for {}", waited(facts), child_text(facts)));
  if (!facts.evidence.children.empty()) {
    verdict.peer = fmt::format("pid {} ({})", facts.evidence.children.back().pid,
                               facts.evidence.children.back().command);
  }
  return verdict;
}

Judgement for_disk(const Facts& facts) {
  // Read or written, a regular file wakes nobody but the disk; D is also how a slow page fault
  // shows.
  const bool on_file =
      is_peer(facts, Peer::Kind::File) && (is(facts, Call::Receive) || is(facts, Call::Send));
  const bool disk_call = on_file || is(facts, Call::Sync) || is(facts, Call::Open);
  if (facts.thread->state != 'D' || !disk_call) return std::nullopt;
  const Peer* file = peer_of(facts);
  const std::string what = file == nullptr ? "a file" : file->address;
  const std::string type =
      file == nullptr || file->filesystem.empty() ? "" : fmt::format(" ({})", file->filesystem);
  return likely(facts, Cause::WaitDisk,
                fmt::format("waited {} in uninterruptible sleep ({}) for {}{}", waited(facts),
                            facts.thread->wchan, what, type));
}

Judgement for_file_lock(const Facts& facts) {
  if (!is(facts, Call::FileLock)) return std::nullopt;
  const Peer* file = peer_of(facts);
  const std::string path = file == nullptr ? "a file" : file->address;
  const std::string holder =
      file == nullptr || file->holder == 0 ? "" : fmt::format(", held by pid {}", file->holder);
  return likely(facts, Cause::WaitFileLock,
                fmt::format("waited {} for the lock on {}{}", waited(facts), path, holder));
}

Judgement for_dns(const Facts& facts) {
  constexpr std::uint16_t kDnsPort = 53;
  const bool asks = peer_of(facts) != nullptr && peer_of(facts)->port == kDnsPort;
  if (!asks && !waits_in(facts.stack(), "socket.py", "getaddrinfo")) return std::nullopt;
  if (!waits_for_data(facts) && !is(facts, Call::Connect)) return std::nullopt;
  return likely(facts, Cause::WaitDns,
                fmt::format("waited {} for a name to be resolved", waited(facts)));
}

Judgement for_connect(const Facts& facts) {
  const bool syn_sent = is_socket(facts) && peer_of(facts)->state == "SYN_SENT";
  if (!is(facts, Call::Connect) && !syn_sent) return std::nullopt;
  if (!syn_sent)
    return likely(facts, Cause::WaitConnect,
                  fmt::format("waited {} for a connection to be accepted", waited(facts)));
  const Peer& peer = *peer_of(facts);
  return likely(facts, Cause::WaitConnect,
                fmt::format("had no answer to its SYN from {} for {} ({} retransmits); peer down, "
                            "filtered, backlog full "
                            "or NAT ports exhausted",
                            peer.address, waited(facts), peer.retransmits));
}

bool is_database(std::string_view service) {
  return !service.empty() && service != "DNS" && service != "RabbitMQ" && service != "Kafka" &&
         service != "Elasticsearch";
}

Judgement for_socket(const Facts& facts) {
  if (!is_socket(facts) || !(waits_for_data(facts) || is(facts, Call::Accept))) return std::nullopt;
  Peer peer = *peer_of(facts);
  if (peer.client) return std::nullopt;
  const std::string_view driver = database_in(facts.stack());
  if (peer.service.empty()) peer.service = driver;
  const bool database = !driver.empty() || is_database(peer.service);
  const char* what = is(facts, Call::Send) ? "to take its data" : "to answer";
  Verdict verdict =
      verdict_of(database ? Cause::WaitDatabase : Cause::WaitNetwork, Confidence::Likely,
                 fmt::format("waited {} for {} {}", waited(facts), peer_text(peer), what));
  if (peer.service == "PostgreSQL" && peer.local_port != 0) {
    verdict.because += fmt::format("; see pg_stat_activity, client_port {}", peer.local_port);
  }
  verdict.peer = peer_text(peer);
  return verdict;
}

Judgement for_sleep(const Facts& facts) {
  const bool empty_select = is(facts, Call::Select) && facts.thread->args[0] == 0;
  const bool empty_poll = is(facts, Call::Poll) && facts.thread->args[1] == 0;
  if (!is(facts, Call::Sleep) && !empty_select && !empty_poll) return std::nullopt;
  return verdict_of(Cause::WaitSleep, Confidence::Likely,
                    fmt::format("slept {} (time.sleep or alike)", waited(facts)));
}

Judgement for_pipe(const Facts& facts) {
  constexpr int kStdout = 1;
  constexpr int kStderr = 2;
  const bool fifo = is(facts, Call::Open) && facts.thread->wchan == "wait_for_partner";
  if (fifo)
    return verdict_of(
        Cause::WaitPipe, Confidence::Likely,
        fmt::format("waited {} for somebody to open the other end of a named pipe", waited(facts)));
  if (!is_peer(facts, Peer::Kind::Pipe) || !waits_for_data(facts)) return std::nullopt;
  const int fd = peer_of(facts)->fd;
  const char* what =
      is(facts, Call::Send) ? "for the reader of a pipe to take its data" : "for data from a pipe";
  if (is(facts, Call::Send) && fd == kStdout)
    what = "for the reader of its stdout, which has stopped reading";
  if (is(facts, Call::Send) && fd == kStderr)
    what = "for the reader of its stderr, which has stopped reading";
  return likely(facts, Cause::WaitPipe, fmt::format("waited {} {}", waited(facts), what));
}

/// A futex wait without a limit on a lock of this process alone.
bool waits_forever(const ThreadLook& thread) {
  constexpr std::size_t kOperation = 1;
  constexpr std::size_t kTimeout = 3;
  return call_of(thread.syscall, thread.args[1]) == Call::Futex && !thread.waits_for_gil &&
         thread.args[kTimeout] == 0 && (thread.args[kOperation] & kFutexPrivate) != 0;
}

/// No Python thread of this worker is left that could let the lock go.
bool nobody_can_release(const Facts& facts) {
  if (!facts.last->python_readable || !facts.last->full) return false;
  return std::all_of(facts.last->threads.begin(), facts.last->threads.end(),
                     [](const ThreadLook& thread) {
                       return !has_application_code(thread.stack) || waits_forever(thread);
                     });
}

/// Waits that something outside the application's threads may end: a queue, an event, a thread's
/// end.
bool waits_for_an_event(const Stack& stack) {
  return waits_in(stack, "threading.py", "Event.wait") ||
         waits_in(stack, "threading.py", "Condition.wait") ||
         waits_in(stack, "threading.py", "wait") || waits_in(stack, "/concurrent/futures/", "");
}

Judgement for_lock(const Facts& facts) {
  if (!is(facts, Call::Futex)) return std::nullopt;
  if (waits_in(facts.stack(), "queue.py", "") ||
      waits_in(facts.stack(), "/multiprocessing/queues.py", "")) {
    return verdict_of(Cause::WaitQueue, Confidence::Likely,
                      fmt::format("waited {} for a queue", waited(facts)));
  }
  const bool joins = waits_in(facts.stack(), "threading.py", "join");
  const bool stuck = nobody_can_release(facts) && !waits_for_an_event(facts.stack());
  if (stuck) {
    return verdict_of(
        Cause::WaitDeadlock, Confidence::Likely,
        fmt::format("waited {} for a lock, and no thread of this worker can release it",
                    waited(facts)));
  }
  const char* what = joins                               ? "a thread to end"
                     : waits_for_an_event(facts.stack()) ? "an event or condition"
                                                         : "a lock";
  return verdict_of(Cause::WaitLock, Confidence::Likely,
                    fmt::format("waited {} for {}", waited(facts), what));
}

}  // namespace

std::optional<Verdict> judge_wait(const Facts& facts) {
  if (auto verdict = for_gil(facts)) return verdict;
  if (!facts.asleep()) return std::nullopt;
  // Drivers and idioms before bare calls: a subprocess is waited for by sleeping, a name by
  // polling.
  for (const auto rule : {for_child, for_file_lock, for_disk, for_dns, for_connect, for_socket,
                          for_pipe, for_sleep, for_lock}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
