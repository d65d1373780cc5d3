// Evidence made up for tests of the rules: three looks at a worker that does one thing.
#pragma once

#include <sys/syscall.h>

#include <csignal>
#include <functional>
#include <string>
#include <utility>

#include "diagnose/evidence.h"
#include "diagnose/frames.h"

namespace tricorn::diagnose {

inline constexpr std::int64_t kMs = 1'000'000;
inline constexpr std::uint64_t kPrivateWait =
    128 | 9;  // FUTEX_WAIT_BITSET of a lock of this process
inline constexpr std::uint64_t kSharedWait = 9;

inline PythonFrame app(int line = 10) { return {"/srv/app/app.py", "view", line}; }
inline PythonFrame library(std::string file, std::string function) {
  return {"/usr/lib/python3.11/" + std::move(file), std::move(function), 5};
}
inline PythonFrame package(std::string file) {
  return {"/srv/venv/lib/python3.11/site-packages/" + std::move(file), "execute", 7};
}

inline ThreadLook thread(char state, std::int64_t syscall, std::array<std::uint64_t, 6> args = {}) {
  ThreadLook look;
  look.tid = 100;
  look.state = state;
  look.syscall = syscall;
  look.args = args;
  look.cpu_ns = look.run_delay_ns = look.switches = 0;
  look.stack = {app()};
  return look;
}

/// Three looks, half a second apart in all, at a thread that shows `seen` in each.
inline Evidence watched(const ThreadLook& seen) {
  Evidence evidence;
  evidence.pid = 42;
  evidence.arbiter = 7;
  evidence.request = "GET /orders";
  evidence.app_directory = "/srv/app";
  evidence.phase = heartbeat::Phase::Application;
  evidence.running_ns = 3000 * kMs;
  evidence.timeout_ns = 3000 * kMs;
  evidence.silent_ns = 3000 * kMs;
  for (const std::int64_t at : {0, 250, 500}) {
    ProcessLook look;
    look.at_ns = (2500 + at) * kMs;
    look.full = look.python_readable = true;
    look.phase = heartbeat::Phase::Application;
    look.threads = {seen};
    look.fds = 10;
    look.fd_limit = 1024;
    look.cgroup.oom_kill = 0;
    evidence.looks.push_back(look);
  }
  return evidence;
}

/// The same, with the CPU used and waited for in percent of the time.
inline Evidence burning(int cpu, int delay = 0) {
  Evidence evidence = watched(thread('R', -1));
  for (std::size_t i = 0; i < evidence.looks.size(); ++i) {
    ThreadLook& look = evidence.looks[i].threads[0];
    look.running = true;
    look.has_gil = true;
    look.cpu_ns = static_cast<std::int64_t>(i) * 250 * kMs * cpu / 100;
    look.run_delay_ns = static_cast<std::int64_t>(i) * 250 * kMs * delay / 100;
  }
  return evidence;
}

inline Peer tcp(std::uint16_t port, std::string state = "ESTABLISHED") {
  Peer peer;
  peer.kind = Peer::Kind::Tcp;
  peer.port = port;
  peer.local_port = 40000;
  peer.address = "10.0.0.7:" + std::to_string(port);
  peer.state = std::move(state);
  if (port == 5432) peer.service = "PostgreSQL";
  if (port == 53) peer.service = "DNS";
  return peer;
}

inline Evidence with_peer(Evidence evidence, Peer peer) {
  evidence.peer = std::move(peer);
  return evidence;
}

inline Evidence with_stack(Evidence evidence, Stack stack) {
  for (ProcessLook& look : evidence.looks) look.threads[0].stack = stack;
  return evidence;
}

inline Evidence each_look(Evidence evidence,
                          const std::function<void(ProcessLook&, std::size_t)>& change) {
  for (std::size_t i = 0; i < evidence.looks.size(); ++i) change(evidence.looks[i], i);
  return evidence;
}

inline Evidence beside(Evidence evidence, const ThreadLook& other) {
  for (ProcessLook& look : evidence.looks) look.threads.push_back(other);
  return evidence;
}

inline Peer of_kind(Peer::Kind kind, std::string address = "") {
  Peer peer;
  peer.kind = kind;
  peer.address = std::move(address);
  return peer;
}

inline Peer end_of(int fd, std::string address, Peer::Kind kind = Peer::Kind::Pipe) {
  Peer peer = of_kind(kind, std::move(address));
  peer.fd = fd;
  return peer;
}

inline Peer held_end(int fd, pid_t pid, std::string program) {
  Peer peer = end_of(fd, "pipe:[9]");
  peer.other_end = pid;
  peer.other_program = std::move(program);
  return peer;
}

inline Peer sqlite_file(pid_t holder) {
  Peer peer = of_kind(Peer::Kind::File, holder == 0 ? "" : "/srv/shop.db");
  peer.service = "SQLite";
  peer.holder = holder;
  return peer;
}

inline Evidence with_child(Evidence evidence) {
  evidence.children = {{55, 'S', "sleep"}};
  return evidence;
}

inline Evidence with_ports(Evidence evidence, std::uint64_t used) {
  evidence.ports = PortUse{"10.0.0.7:80", used, 100};
  return evidence;
}

inline Peer own_pair() {
  Peer peer = of_kind(Peer::Kind::Unix);
  peer.internal = true;
  return peer;
}

/// The serving thread (state 1) waits for a lock that thread 101 (state 2) has.
inline Evidence held_by_other(Evidence evidence, ThreadLook holder) {
  holder.tid = 101;
  holder.tstate = 2;
  holder.stack = {app(77)};
  evidence = beside(std::move(evidence), holder);
  for (ProcessLook& look : evidence.looks) look.threads[0].tstate = 1;
  evidence.lock_waits = {{1, 0x500, "_thread.lock", 2}};
  return evidence;
}

inline Evidence receiving() { return watched(thread('S', SYS_recvfrom, {6})); }
inline Evidence locked(std::uint64_t operation = kPrivateWait) {
  return watched(thread('S', SYS_futex, {0x7f0010, operation}));
}
inline Evidence sleeping() { return watched(thread('S', SYS_clock_nanosleep)); }

inline Evidence dead(
    int status, const std::function<void(Death&)>& change = [](Death&) {}) {
  Evidence evidence;
  evidence.pid = 42;
  evidence.arbiter = 7;
  evidence.request = "GET /import";
  Death death;
  death.wait_status = status;
  death.was_ready = true;
  death.before.oom_kill = death.after.oom_kill = 3;
  death.before.memory_limit = 96u << 20;
  change(death);
  evidence.death = death;
  return evidence;
}

inline constexpr int exited(int code) { return code << 8; }

}  // namespace tricorn::diagnose
