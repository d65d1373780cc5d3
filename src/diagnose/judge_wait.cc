#include <fmt/format.h>

#include <algorithm>

#include "diagnose/database_file.h"
#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using Judgement = std::optional<Verdict>;

bool is(const Facts& facts, Call call) { return facts.call == call; }

bool waits_for_data(const Facts& facts) { return is_of_data(facts.call); }

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

/// The child that is waited for: the one wait4() asks for, or that has the pipe, or the youngest
/// that lives. Null: there is none.
const Child* awaited_child(const Facts& facts) {
  const auto& children = facts.evidence.children;
  const auto of_pid = [&](std::uint64_t pid) {
    return std::find_if(children.begin(), children.end(), [pid](const Child& child) {
      return static_cast<std::uint64_t>(child.pid) == pid;
    });
  };
  auto found = children.end();
  if (is(facts, Call::WaitChild)) found = of_pid(facts.thread->args[0]);
  if (is_peer(facts, Peer::Kind::Pipe))
    found = of_pid(static_cast<std::uint64_t>(peer_of(facts)->other_end));
  if (found != children.end()) return &*found;
  const auto lives = std::find_if(children.rbegin(), children.rend(),
                                  [](const Child& c) { return c.state != 'Z'; });
  if (lives != children.rend()) return &*lives;
  return children.empty() ? nullptr : &children.back();
}

std::string child_text(const Facts& facts) {
  const Child* child = awaited_child(facts);
  if (child == nullptr) return "a child process";
  const bool asked_for =
      is(facts, Call::WaitChild) && facts.thread->args[0] == static_cast<std::uint64_t>(child->pid);
  const bool has_pipe = is_peer(facts, Peer::Kind::Pipe) && !peer_of(facts)->more_ends &&
                        peer_of(facts)->other_end == child->pid;
  const bool others = facts.evidence.children.size() > 1 && !asked_for && !has_pipe;
  return fmt::format("the child process {} ({}){}", child->pid, child->command,
                     others ? " and others" : "");
}

/// "a pipe (pipe:[4711]) whose writer is sort (pid 31)"
std::string pipe_text(const Peer& pipe, const char* other_end) {
  const char* kind = pipe.address.starts_with('/') ? "named pipe" : "pipe";
  std::string text = fmt::format("a {} ({})", kind, pipe.address);
  if (pipe.other_end == 0) return text;
  return text + fmt::format(" whose {} is {} (pid {}){}", other_end, pipe.other_program,
                            pipe.other_end, pipe.more_ends ? " and others" : "");
}

/// A subprocess has ended, and somebody else has its end of the pipe: what it left running.
bool is_held_by_another(const Facts& facts) {
  const pid_t holder = is_peer(facts, Peer::Kind::Pipe) ? peer_of(facts)->other_end : 0;
  const Child* child = awaited_child(facts);
  return holder != 0 && child != nullptr && child->pid != holder;
}

Verdict for_what_a_child_left(const Facts& facts) {
  const Peer& pipe = *peer_of(facts);
  const Child& child = *awaited_child(facts);
  const std::string ended =
      child.state == 'Z' ? fmt::format("; the child process {} itself has ended", child.pid) : "";
  Verdict verdict = verdict_of(
      Cause::WaitSubprocess, Confidence::Likely,
      fmt::format("waited {} for data from {}{}", waited(facts), pipe_text(pipe, "writer"), ended));
  verdict.peer = fmt::format("pid {} ({})", pipe.other_end, pipe.other_program);
  verdict.hint = fmt::format("ps -fp {}", pipe.other_end);
  return verdict;
}

/// Whether another thread of the worker manages a pool of processes.
bool has_process_pool(const Facts& facts) {
  const auto& threads = facts.last->threads;
  return std::any_of(threads.begin(), threads.end(), [](const ThreadLook& thread) {
    return waits_in(thread.stack, "/concurrent/futures/process.py", "");
  });
}

/// A terminal whose other side is a child's. Source: pty(7)
bool reads_a_terminal(const Facts& facts) {
  return is_peer(facts, Peer::Kind::File) && peer_of(facts)->address.ends_with("/ptmx") &&
         waits_for_data(facts) && !is(facts, Call::Send);
}

Judgement for_child(const Facts& facts) {
  const bool idiom = waits_in(facts.stack(), "subprocess.py", "") ||
                     waits_in(facts.stack(), "/multiprocessing/", "");
  const bool children = !facts.evidence.children.empty();
  const bool through_pipe = (waits_for_data(facts) || is(facts, Call::Sleep)) && idiom && children;
  const bool pool =
      is(facts, Call::Futex) && children &&
      (waits_in(facts.stack(), "/multiprocessing/pool.py", "") ||
       (waits_in(facts.stack(), "/concurrent/futures/", "") && has_process_pool(facts)));
  const bool pidfd = is_peer(facts, Peer::Kind::Process);
  const bool terminal = reads_a_terminal(facts) && children;
  if (!is(facts, Call::WaitChild) && !through_pipe && !pool && !pidfd && !terminal)
    return std::nullopt;
  if (through_pipe && !is(facts, Call::Send) && is_held_by_another(facts))
    return for_what_a_child_left(facts);
  Verdict verdict = verdict_of(Cause::WaitSubprocess, Confidence::Likely,
                               fmt::format("waited {} for {}{}", waited(facts), child_text(facts),
                                           terminal ? " to write to its terminal" : ""));
  if (const Child* child = awaited_child(facts); child != nullptr) {
    verdict.peer = fmt::format("pid {} ({})", child->pid, child->command);
    verdict.hint = fmt::format("ps -fp {}", child->pid);
  }
  return verdict;
}

Judgement for_disk(const Facts& facts) {
  // Read or written, a regular file wakes nobody but the disk; D is also how a slow page fault
  // shows.
  const bool on_file =
      is_peer(facts, Peer::Kind::File) && (is(facts, Call::Receive) || is(facts, Call::Send));
  const bool disk_call = on_file || is(facts, Call::Sync) || is(facts, Call::Open);
  const Peer* file = peer_of(facts);
  const std::string what = file == nullptr || file->address.empty() ? "a file" : file->address;
  // Its program is asked, and sleep is interruptible until the program has the question.
  // Source: Linux fs/fuse/dev.c
  if (facts.thread->wchan == "request_wait_answer" || facts.thread->wchan.starts_with("fuse_")) {
    return likely(facts, Cause::WaitDisk,
                  fmt::format("waited {} for {}, whose FUSE file system does not answer",
                              waited(facts), what));
  }
  if (facts.thread->state != 'D' || !disk_call) return std::nullopt;
  const std::string type =
      file == nullptr || file->filesystem.empty() ? "" : fmt::format(" ({})", file->filesystem);
  return likely(facts, Cause::WaitDisk,
                fmt::format("waited {} in uninterruptible sleep ({}) for {}{}", waited(facts),
                            facts.thread->wchan, what, type));
}

Judgement for_file_lock(const Facts& facts) {
  const Peer* file = peer_of(facts);
  const bool sqlite = is(facts, Call::Sleep) && file != nullptr && file->service == kSqlite;
  if (!is(facts, Call::FileLock) && !sqlite) return std::nullopt;
  const bool known = file != nullptr && !file->address.empty();
  const std::string path = known ? file->address : sqlite ? "a database file" : "a file";
  std::string holder;
  if (file != nullptr && file->holder != 0) {
    holder = file->holder == facts.evidence.pid ? ", held by this worker itself"
                                                : fmt::format(", held by pid {}", file->holder);
  }
  Verdict verdict = verdict_of(Cause::WaitFileLock, Confidence::Likely,
                               fmt::format("waited {} for the lock on {}{}{}", waited(facts), path,
                                           sqlite ? " (SQLite)" : "", holder));
  if (known) verdict.peer = file->address;
  return verdict;
}

Judgement for_dns(const Facts& facts) {
  constexpr std::uint16_t kDnsPort = 53;
  const bool asks = peer_of(facts) != nullptr && peer_of(facts)->port == kDnsPort;
  const bool resolves = waits_in(facts.stack(), "socket.py", "getaddrinfo") ||
                        waits_in(facts.stack(), "/dns/query.py", "");  // dnspython
  if (!asks && !resolves) return std::nullopt;
  if (!waits_for_data(facts) && !is(facts, Call::Connect)) return std::nullopt;
  const bool known = is_socket(facts) && peer_of(facts)->port != 0;
  const std::string server = known ? " by " + peer_text(*peer_of(facts)) : std::string();
  Verdict verdict =
      verdict_of(Cause::WaitDns, Confidence::Likely,
                 fmt::format("waited {} for a name to be resolved{}", waited(facts), server));
  if (known) verdict.peer = peer_text(*peer_of(facts));
  return verdict;
}

Judgement for_connect(const Facts& facts) {
  const bool syn_sent = is_socket(facts) && peer_of(facts)->state == "SYN_SENT";
  if (!is(facts, Call::Connect) && !syn_sent) return std::nullopt;
  if (!syn_sent) {
    const std::string by = is_socket(facts) ? " by " + peer_text(*peer_of(facts)) : std::string();
    return likely(facts, Cause::WaitConnect,
                  fmt::format("waited {} for a connection to be accepted{}", waited(facts), by));
  }
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

std::string others_text(const Peer& peer) {
  if (peer.others == 0) return "";
  return fmt::format(" and {} other{}", peer.others, peer.others == 1 ? "" : "s");
}

/// " (3 of 4 threads busy),": whether this server can answer itself.
std::string threads_text(const Facts& facts) {
  const Evidence& evidence = facts.evidence;
  if (evidence.server_threads == 0) return ",";
  if (evidence.server_busy >= evidence.server_threads) {
    return evidence.server_threads == 1
               ? " (its only thread is busy: with this request),"
               : fmt::format(" (all its {} threads are busy),", evidence.server_threads);
  }
  return fmt::format(" ({} of its {} threads busy),", evidence.server_busy,
                     evidence.server_threads);
}

/// Whoever comes first is waited for: the socket has no far end, its address is the worker's own.
Judgement for_anybody(const Facts& facts) {
  if (!is_socket(facts) || peer_of(facts)->client) return std::nullopt;
  const Peer& own = *peer_of(facts);
  const bool listens = is(facts, Call::Accept) || own.state == "LISTEN";
  const bool datagrams = own.kind == Peer::Kind::Udp && own.port == 0 && waits_for_data(facts);
  if (!listens && (!datagrams || is(facts, Call::Send))) return std::nullopt;
  const std::string what =
      listens ? fmt::format("for somebody to connect to {}{}, where it listens", peer_text(own),
                            others_text(own))
              : fmt::format("for a datagram on its own UDP port {}{}, which is connected to nobody",
                            own.local_port, others_text(own));
  return verdict_of(Cause::WaitNetwork, Confidence::Likely,
                    fmt::format("waited {} {}", waited(facts), what));
}

Judgement for_socket(const Facts& facts) {
  // A fast answer is there before its peer can be looked up; the driver tells whose it was.
  const std::string_view asked = database_in(facts.stack());
  if (peer_of(facts) == nullptr && waits_for_data(facts) && !asked.empty()) {
    Verdict verdict = verdict_of(Cause::WaitDatabase, Confidence::Likely,
                                 fmt::format("waited {} for {} to answer", waited(facts), asked));
    verdict.peer = asked;
    return verdict;
  }
  if (!is_socket(facts) || !(waits_for_data(facts) || is(facts, Call::Accept))) return std::nullopt;
  Peer peer = *peer_of(facts);
  if (peer.client || peer.internal) return std::nullopt;
  const std::string_view driver = asked;
  if (peer.service.empty()) peer.service = driver;
  const bool database = !driver.empty() || is_database(peer.service);
  const char* what = is(facts, Call::Send) ? "to take its data" : "to answer";
  const std::string ours = peer.server ? ", which is this server itself" + threads_text(facts) : "";
  Verdict verdict =
      verdict_of(database ? Cause::WaitDatabase : Cause::WaitNetwork, Confidence::Likely,
                 fmt::format("waited {} for {}{}{} {}", waited(facts), peer_text(peer),
                             others_text(peer), ours, what));
  verdict.hint = session_hint(peer);
  verdict.peer = peer_text(peer);
  return verdict;
}

/// An event loop that watches nothing but what its own process writes to, until a timer is due.
bool waits_for_a_timer(const Facts& facts) {
  const auto timeout = static_cast<std::int32_t>(facts.thread->args[3]);
  const bool own = peer_of(facts) != nullptr &&
                   (peer_of(facts)->internal || peer_of(facts)->address == kEventDescriptor);
  return is(facts, Call::Epoll) && own && timeout >= 0;
}

/// An exception that is being handled tells why somebody sleeps: before another try.
std::string handling_text(const Facts& facts) {
  const std::string& type = facts.evidence.handling;
  return type.empty() || !is(facts, Call::Sleep) ? "" : ", while it handles " + type;
}

Judgement for_sleep(const Facts& facts) {
  const bool empty_select = is(facts, Call::Select) && facts.thread->args[0] == 0;
  const bool empty_poll = is(facts, Call::Poll) && facts.thread->args[1] == 0;
  const bool timer = waits_for_a_timer(facts);
  const bool signal = is(facts, Call::Signal);
  if (!is(facts, Call::Sleep) && !empty_select && !empty_poll && !timer && !signal)
    return std::nullopt;
  const char* how = timer    ? "a timer of its event loop"
                    : signal ? "until a signal comes"
                             : "time.sleep or alike";
  return verdict_of(Cause::WaitSleep, Confidence::Likely,
                    fmt::format("slept {} ({}{}{})", waited(facts), how, often_text(facts),
                                handling_text(facts)));
}

/// What inotify(7) gives. Source: proc_pid_fd(5)
constexpr std::string_view kFileWatch = "anon_inode:inotify";

/// Descriptors that no peer stands behind.
Judgement for_event_descriptor(const Facts& facts) {
  if (!waits_for_data(facts) || peer_of(facts) == nullptr) return std::nullopt;
  if (peer_of(facts)->address == kEventDescriptor) {
    return verdict_of(Cause::WaitLock, Confidence::Likely,
                      fmt::format("waited {} for an event (eventfd) from within or outside the "
                                  "worker",
                                  waited(facts)));
  }
  if (peer_of(facts)->address != kFileWatch) return std::nullopt;
  return verdict_of(Cause::Unknown, Confidence::Likely,
                    fmt::format("waited {} for a change of a file or folder it watches (inotify)",
                                waited(facts)));
}

/// Its event loop has nothing to watch and no timer: another thread must wake it.
Judgement for_own_wakeup(const Facts& facts) {
  if (!waits_for_data(facts) || peer_of(facts) == nullptr || !peer_of(facts)->internal)
    return std::nullopt;
  const Peer& own = *peer_of(facts);
  const std::string pair = own.kind == Peer::Kind::Tcp
                               ? " (it has both ends of the connection to " + own.address + ")"
                               : "";
  return verdict_of(
      Cause::WaitLock, Confidence::Likely,
      fmt::format("waited {} for an event from within the worker{}", waited(facts), pair));
}

Judgement for_pipe(const Facts& facts) {
  constexpr int kStdin = 0;
  constexpr int kStdout = 1;
  constexpr int kStderr = 2;
  const bool fifo = is(facts, Call::Open) && facts.thread->wchan == "wait_for_partner";
  if (fifo) {
    const std::string path = is_peer(facts, Peer::Kind::File) ? " " + peer_of(facts)->address : "";
    return likely(facts, Cause::WaitPipe,
                  fmt::format("waited {} for somebody to open the other end of the named pipe{}",
                              waited(facts), path));
  }
  if (peer_of(facts) == nullptr || !waits_for_data(facts)) return std::nullopt;
  const Peer& pipe = *peer_of(facts);
  const bool terminal =
      pipe.kind == Peer::Kind::File && pipe.fd == kStdin && pipe.address.starts_with("/dev/");
  if (terminal && is(facts, Call::Receive)) {
    return likely(
        facts, Cause::WaitPipe,
        fmt::format("waited {} for data from its stdin ({})", waited(facts), pipe.address));
  }
  if (reads_a_terminal(facts)) {
    return likely(
        facts, Cause::WaitPipe,
        fmt::format("waited {} for data from a terminal ({})", waited(facts), pipe.address));
  }
  if (pipe.kind != Peer::Kind::Pipe) return std::nullopt;
  std::string what = "for data from " + pipe_text(pipe, "writer") + others_text(pipe);
  if (is(facts, Call::Receive) && pipe.fd == kStdin)
    what = "for data from its stdin, " + pipe_text(pipe, "writer");
  if (is(facts, Call::Send)) {
    const std::string text = pipe_text(pipe, "reader");
    what = fmt::format("for the reader of {} to take its data", text);
    if (pipe.fd == kStdout || pipe.fd == kStderr) {
      const std::string reader =
          pipe.other_end == 0 ? ""
                              : fmt::format(", {} (pid {})", pipe.other_program, pipe.other_end);
      what = fmt::format("for the reader of its {}{}, which has stopped reading ({})",
                         pipe.fd == kStdout ? "stdout" : "stderr", reader, pipe.address);
    } else if (pipe.other_end != 0) {
      what = "to write to " + text;
    }
  }
  return likely(facts, Cause::WaitPipe, fmt::format("waited {} {}", waited(facts), what));
}

}  // namespace

std::optional<Verdict> judge_wait(const Facts& facts) {
  if (!facts.asleep()) return std::nullopt;
  // Drivers and idioms before bare calls: a subprocess is waited for by sleeping, a name by
  // polling.
  for (const auto rule : {for_child, for_file_lock, for_disk, for_dns, for_connect, for_anybody,
                          for_socket, for_pipe, for_sleep, for_event_descriptor, for_own_wakeup}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
