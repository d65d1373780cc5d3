// After clone() the keeper runs on a copy of the worker's memory in which locks may be held by
// threads it does not have, so this file allocates nothing, locks nothing and calls system calls
// only.
#include "keeper/keeper.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <optional>

#include "heartbeat/wire.h"
#include "net/written.h"

namespace tricorn::keeper {
namespace {

using heartbeat::Message;
using heartbeat::Verb;

// How long a client may keep the keeper from the next one.
constexpr int kClientMillisecondsMax = 200;
// One that was sending and pauses for that long is done.
constexpr int kQuietMilliseconds = 20;

void write_answer(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes += sent;
      size -= static_cast<std::size_t>(sent);
    } else if (sent < 0 && errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      if (::poll(&writable, 1, kClientMillisecondsMax) <= 0) return;
    } else if (!(sent < 0 && errno == EINTR)) {
      return;
    }
  }
}

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// A close with unread bytes in the socket sends a reset, which may overtake the answer, and fails a
// client that looks for it only after its last byte: take them out, also those that are on their
// way. Source: RFC 9112 section 9.6.
void end_connection(int fd) {
  ::shutdown(fd, SHUT_WR);
  static char scrap[65536];  // this process has its own copy
  const std::int64_t end = now_ms() + kClientMillisecondsMax;
  bool more = ::recv(fd, scrap, sizeof scrap, MSG_DONTWAIT) > 0;
  while (more && now_ms() < end) {
    pollfd readable{fd, POLLIN, 0};
    more = ::poll(&readable, 1, kQuietMilliseconds) > 0 &&
           ::recv(fd, scrap, sizeof scrap, MSG_DONTWAIT) > 0;
  }
  ::shutdown(fd, SHUT_RDWR);
}

void tell_done(int socket, int number) {
  static_cast<void>(heartbeat::send_message(socket, Verb::Done, number, nullptr, 0, -1, 0));
}

void settle(int socket, const Message& order) {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  if (order.bytes < sizeof begin + sizeof end) return;
  std::memcpy(&begin, order.payload, sizeof begin);
  std::memcpy(&end, order.payload + sizeof begin, sizeof end);
  const std::optional<std::uint64_t> written = net::bytes_written(order.number);
  const bool answered = end != 0 && written == end;
  if (!answered) {
    const std::size_t at = sizeof begin + sizeof end;
    if (written == begin) write_answer(order.number, order.payload + at, order.bytes - at);
    end_connection(order.number);
  }
  static_cast<void>(heartbeat::send_message(socket, Verb::Done, order.number, nullptr, 0,
                                            answered ? order.number : -1, 0));
}

void obey(int socket, const Message& order) {
  switch (order.verb) {
    case Verb::Answer:
      write_answer(order.number, order.payload, order.bytes);
      end_connection(order.number);
      tell_done(socket, order.number);
      break;
    case Verb::Settle:
      settle(socket, order);
      break;
    case Verb::HandOver:
      if (!heartbeat::send_message(socket, Verb::Done, order.number, nullptr, 0, order.number, 0))
        tell_done(socket, order.number);  // it is not open
      break;
    case Verb::Leave:
      ::syscall(SYS_exit_group, 0);
      break;
    default:
      break;  // not for a keeper
  }
}

// It sees the descriptors of an application that has given up its rights. A refusal is the worker's
// to report, which does the same. Source: setresuid(2); the plain calls, as this has one thread.
void become(const Identity& who) {
  if (who.user >= 0) ::syscall(SYS_setgroups, 0, nullptr);
  if (who.group >= 0) ::syscall(SYS_setresgid, who.group, who.group, who.group);
  if (who.user >= 0) ::syscall(SYS_setresuid, who.user, who.user, who.user);
}

[[noreturn]] void keep(int socket, const Identity& identity) {
  ::prctl(PR_SET_NAME, "tricorn-keeper");
  become(identity);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGWINCH}) {
    ::sigaction(signal, &ignore, nullptr);  // a Ctrl-C goes to the whole group; the arbiter decides
  }
  static Message order;  // this process has its own copy
  for (;;) {
    base::UniqueFd passed;
    const auto received = heartbeat::receive_message(socket, order, passed, 0);
    if (received == heartbeat::Received::Closed) break;
    if (received == heartbeat::Received::Message) obey(socket, order);
  }
  ::syscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

}  // namespace

pid_t start(int socket, Identity identity) {
  const long pid = ::syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, nullptr, nullptr,
                             nullptr, nullptr);
  if (pid == 0) keep(socket, identity);
  return static_cast<pid_t>(pid);
}

}  // namespace tricorn::keeper
