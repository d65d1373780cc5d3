// The settings the arbiter acts on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "net/statsd.h"
#include "net/syslog.h"

namespace tricorn::arbiter {

struct Options {
  std::string app;                ///< "module:name"
  std::string settings_json;      ///< all settings, for spawner and workers
  std::vector<std::string> bind;  ///< "127.0.0.1:8000", "unix:/run/x.sock", "fd://3"
  int backlog = 2048;
  unsigned umask = 0;
  std::uint32_t workers = 1;
  std::uint32_t threads = 1;
  std::string worker_class = "sync";
  std::int64_t timeout_ns = 30'000'000'000;  ///< 0: never
  std::int64_t request_timeout_ns = 0;       ///< 0: never
  std::int64_t slow_ns = 0;            ///< age from which a request is told of as slow, 0: none
  std::int64_t max_worker_memory = 0;  ///< bytes, 0: no limit
  std::int64_t boot_timeout_ns = 0;    ///< 0: a slow boot is reported, not ended
  std::int64_t graceful_timeout_ns = 30'000'000'000;
  bool status_by_cause = false;  ///< false: 500 for everything, as Gunicorn's clients expect
  bool preload = false;
  bool daemon = false;
  bool keep_stdio = false;  ///< --enable-stdio-inheritance
  bool reuse_port = false;
  std::int64_t user = -1;  ///< of the workers; -1: ours
  std::int64_t group = -1;
  std::string process_name;  ///< in ps
  std::string pidfile;       ///< empty: none
  std::string report;        ///< empty: none
  base::LogOptions error_log;
  net::StatsdOptions statsd;
  bool backlog_metric = false;
  net::SyslogOptions syslog;  ///< address empty: off
  bool python_log = false;    ///< logger_class or logconfig* is set: Python's logging is the sink
  std::string access_log;     ///< workers write it; empty: none
  std::string app_directory;  ///< absolute: --chdir
  std::vector<std::string> warnings;  ///< settings that were given and do not act
  bool control = true;                ///< false: --no-control-socket
  std::string control_socket;         ///< empty: where config::control_directories() says
  unsigned control_socket_mode = 0600;
  bool check_only = false;  ///< --check-config or --print-config
  std::string print;        ///< --print-config's text

  /// Whether a request meets --request-timeout, which spares the worker, before --timeout.
  [[nodiscard]] bool limits_request() const {
    return request_timeout_ns != 0 && (timeout_ns == 0 || request_timeout_ns < timeout_ns);
  }
  /// The one it meets first, in nanoseconds; 0: none.
  [[nodiscard]] std::int64_t request_limit_ns() const {
    return limits_request() ? request_timeout_ns : timeout_ns;
  }
  /// When something is first due for a request, in nanoseconds; 0: never.
  [[nodiscard]] std::int64_t first_due_ns() const {
    const std::int64_t limit = request_limit_ns();
    return slow_ns == 0 || limit == 0 ? std::max(slow_ns, limit) : std::min(slow_ns, limit);
  }
};

}  // namespace tricorn::arbiter
