// What a service manager is told: sd_notify's datagrams. Source: sd_notify(3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tricorn::arbiter {

/// Never blocks and never fails: a manager that does not listen hears nothing.
class Notifier {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which stay in the environment.
  /// @param old_arbiter  the one we are to replace, 0 none: a watchdog of its is ours later
  void open(int old_arbiter);

  [[nodiscard]] bool enabled() const { return !path_.empty(); }
  /// @param message  lines of NAME=VALUE
  void tell(std::string_view message) const;
  /// RELOADING=1 with the time it must carry.
  void tell_reloading(std::int64_t now_ns) const;
  /// WATCHDOG=1, at half the time the manager waits for it; call once a turn of the loop.
  /// @return when to call again, monotonic nanoseconds; INT64_MAX: never
  std::int64_t beat(std::int64_t now_ns);

 private:
  std::string path_;
  std::int64_t period_ns_ = 0;
  std::int64_t next_ns_ = 0;
};

}  // namespace tricorn::arbiter
