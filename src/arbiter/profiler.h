// Samples the Python stacks of workers for tricornctl, a slice at a time between the arbiter's
// other duties. Source: docs/decisions/0013.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "arbiter/control_socket.h"
#include "arbiter/worker_process.h"
#include "diagnose/time_by_stack.h"

namespace tricorn::arbiter {

inline constexpr int kProfileSecondsMax = 300;
inline constexpr int kProfileRateMax = 200;
/// The arbiter's time goes to samples in this share at most: fewer are taken when each is long.
inline constexpr int kProfileShare = 5;
/// Threads of one worker in one sample.
inline constexpr std::size_t kProfileThreads = 64;

/// What is wanted.
struct ProfileWish {
  ControlSocket::Ticket ticket = 0;
  pid_t pid = 0;  ///< 0: all workers
  int seconds = 10;
  int rate = 100;
  bool gil_only = false;
};

class Profiler {
 public:
  using Workers = std::map<pid_t, std::unique_ptr<WorkerProcess>>;

  Profiler(const ProfileWish& wish, std::int64_t now_ns);
  [[nodiscard]] ControlSocket::Ticket ticket() const { return wish_.ticket; }
  [[nodiscard]] bool over(std::int64_t now_ns) const { return now_ns >= end_ns_; }
  /// Samples one worker if it is time. @return when to call again, monotonic
  std::int64_t turn(const Workers& workers, std::int64_t now_ns);
  /// The answer to tricornctl: one line of JSON.
  [[nodiscard]] std::string answer(std::int64_t now_ns) const;

 private:
  const WorkerProcess* next_of(const Workers& workers);
  void sample(const WorkerProcess& worker, std::int64_t now_ns);

  ProfileWish wish_;
  std::int64_t began_ns_;
  std::int64_t end_ns_;
  std::int64_t next_ns_;
  std::int64_t spent_ns_ = 0;
  std::uint64_t samples_ = 0;
  pid_t last_ = 0;                            // sampled last: the next one comes next
  std::map<pid_t, std::int64_t> sampled_ns_;  // up to when a worker's time is noted
  std::set<pid_t> unreadable_;
  diagnose::TimeByStack time_;
};

}  // namespace tricorn::arbiter
