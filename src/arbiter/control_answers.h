// What tricornctl asks, answered from the shared pages and from outside the workers:
// docs/control.md. Each answer is made at once, in bounded time, whatever the workers do.
#pragma once

#include <sys/types.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "arbiter/control_socket.h"
#include "arbiter/profiler.h"

namespace tricorn::arbiter {

class Arbiter;
struct WorkerProcess;

/// Version of requests and answers. Within a version fields are only added.
inline constexpr int kControlVersion = 1;
/// Requests looked at for one answer, the oldest; a look takes some 0.15 ms.
inline constexpr std::size_t kRequestsLooked = 64;
/// Workers whose stacks are in one answer; for others the pid has to be named. A look takes 1 ms.
inline constexpr std::size_t kStacksWorkers = 16;

class ControlAnswers {
 public:
  explicit ControlAnswers(Arbiter& arbiter) : arbiter_(arbiter) {}
  /// One line of JSON for one line of JSON; nothing: the answer comes later, by ControlSocket.
  [[nodiscard]] std::optional<std::string> answer(ControlSocket::Ticket ticket,
                                                  std::string_view request);

 private:
  using Json = nlohmann::ordered_json;

  Json hello() const;
  Json status() const;
  Json workers() const;
  Json requests() const;
  Json incidents() const;
  std::string stacks(pid_t pid) const;
  /// @param slow  the slow request of this reference rather than its time-out
  std::string explain(const std::string& ref, bool slow) const;
  std::string change_workers(int by) const;
  std::string reload() const;
  Json figures() const;
  /// @return an error, or nothing: the answer comes when the profile is complete
  std::optional<std::string> profile(const ProfileWish& wish) const;
  [[nodiscard]] Json worker(const WorkerProcess& worker) const;

  Arbiter& arbiter_;
};

}  // namespace tricorn::arbiter
