#include <fmt/format.h>

#include <algorithm>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using Judgement = std::optional<Verdict>;

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

std::string child_text(const Facts& facts) {
  const auto& children = facts.evidence.children;
  if (children.empty()) return "a child process";
  const Child& child = children.back();
  return fmt::format("the child process {} ({}){}", child.pid, child.command,
                     children.size() > 1 ? " and others" : "");
}

/// Whether another thread of the worker manages a pool of processes.
bool has_process_pool(const Facts& facts) {
  const auto& threads = facts.last->threads;
  return std::any_of(threads.begin(), threads.end(), [](const ThreadLook& thread) {
    return waits_in(thread.stack, "/concurrent/futures/process.py", "");
  });
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
  if (!is(facts, Call::WaitChild) && !through_pipe && !pool && !pidfd) return std::nullopt;
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
  const std::string server = is_socket(facts) ? " by " + peer_text(*peer_of(facts)) : std::string();
  return likely(facts, Cause::WaitDns,
                fmt::format("waited {} for a name to be resolved{}", waited(facts), server));
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

Judgement for_socket(const Facts& facts) {
  if (!is_socket(facts) || !(waits_for_data(facts) || is(facts, Call::Accept))) return std::nullopt;
  Peer peer = *peer_of(facts);
  if (peer.client || peer.internal) return std::nullopt;
  const std::string_view driver = database_in(facts.stack());
  if (peer.service.empty()) peer.service = driver;
  const bool database = !driver.empty() || is_database(peer.service);
  const char* what = is(facts, Call::Send) ? "to take its data" : "to answer";
  Verdict verdict =
      verdict_of(database ? Cause::WaitDatabase : Cause::WaitNetwork, Confidence::Likely,
                 fmt::format("waited {} for {} {}", waited(facts), peer_text(peer), what));
  verdict.hint = session_hint(peer);
  verdict.peer = peer_text(peer);
  return verdict;
}

/// What event loops in C are woken by. Source: proc_pid_fd(5)
constexpr std::string_view kEventDescriptor = "anon_inode:[eventfd]";

/// An event loop that watches nothing but what its own process writes to, until a timer is due.
bool waits_for_a_timer(const Facts& facts) {
  const auto timeout = static_cast<std::int32_t>(facts.thread->args[3]);
  const bool own = peer_of(facts) != nullptr &&
                   (peer_of(facts)->internal || peer_of(facts)->address == kEventDescriptor);
  return is(facts, Call::Epoll) && own && timeout >= 0;
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
                    fmt::format("slept {} ({})", waited(facts), how));
}

/// Its event loop has nothing to watch and no timer: another thread must wake it.
Judgement for_own_wakeup(const Facts& facts) {
  if (!waits_for_data(facts) || peer_of(facts) == nullptr || !peer_of(facts)->internal)
    return std::nullopt;
  return verdict_of(Cause::WaitLock, Confidence::Likely,
                    fmt::format("waited {} for an event from within the worker", waited(facts)));
}

Judgement for_pipe(const Facts& facts) {
  constexpr int kStdout = 1;
  constexpr int kStderr = 2;
  const bool fifo = is(facts, Call::Open) && facts.thread->wchan == "wait_for_partner";
  if (fifo) {
    const std::string path = is_peer(facts, Peer::Kind::File) ? " " + peer_of(facts)->address : "";
    return likely(facts, Cause::WaitPipe,
                  fmt::format("waited {} for somebody to open the other end of the named pipe{}",
                              waited(facts), path));
  }
  if (!is_peer(facts, Peer::Kind::Pipe) || !waits_for_data(facts)) return std::nullopt;
  const int fd = peer_of(facts)->fd;
  const char* what =
      is(facts, Call::Send) ? "for the reader of a pipe to take its data" : "for data from a pipe";
  if (is(facts, Call::Send) && fd == kStdout)
    what = "for the reader of its stdout, which has stopped reading";
  if (is(facts, Call::Send) && fd == kStderr)
    what = "for the reader of its stderr, which has stopped reading";
  return likely(facts, Cause::WaitPipe,
                fmt::format("waited {} {} ({})", waited(facts), what, peer_of(facts)->address));
}

}  // namespace

std::optional<Verdict> judge_wait(const Facts& facts) {
  if (!facts.asleep()) return std::nullopt;
  // Drivers and idioms before bare calls: a subprocess is waited for by sleeping, a name by
  // polling.
  for (const auto rule : {for_child, for_file_lock, for_disk, for_dns, for_connect, for_socket,
                          for_pipe, for_sleep, for_own_wakeup}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
