// A worker: one application served by its threads, until it is told to leave.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "gateway/wsgi/application.h"
#include "heartbeat/page.h"
#include "keeper/keeper.h"
#include "net/statsd.h"
#include "net/syslog.h"
#include "worker/access_log.h"
#include "worker/crew.h"
#include "worker/fatal_signals.h"
#include "worker/loop.h"
#include "worker/sentinel.h"
#include "worker/trust.h"

namespace tricorn::worker {

/// What a worker needs of the settings.
struct Options {
  LoopOptions loop;
  std::uint32_t threads = 1;
  bool multithread =
      false;  ///< the application may be called by several threads: gthread, even with one
  bool multiprocess = false;
  std::uint64_t requests_max = 0;  ///< recycle after so many, jitter included; 0: never
  std::chrono::seconds graceful_timeout{30};
  base::LogOptions error_log;
  AccessLogOptions access_log;
  bool capture_output = false;
  net::StatsdOptions statsd;
  net::SyslogOptions syslog;  ///< of the error log; address empty: off
  net::SyslogOptions access_syslog;
  std::string script_name;
  keeper::Identity identity;  ///< whom the worker becomes before it loads the application
  gateway::wsgi::TrustRules trust;
};

/// The process's one worker. Made in the forked child; serve() runs on Python's main thread.
class Worker {
 public:
  /// @param control, keeper  SEQPACKET ends, owned from now on
  Worker(Options options, std::vector<Listener> listeners, heartbeat::Page page,
         base::UniqueFd control, base::UniqueFd keeper);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Opens the logs. @return Error naming the setting and file
  base::Result<void> open_logs();
  /// Starts the keeper, installs signal handlers, says Hello and waits for Go. No GIL.
  /// @return false: the arbiter is gone
  [[nodiscard]] bool introduce();
  /// Serves until drained. The caller holds the GIL and is Python's main thread.
  /// @param callable  the WSGI application, borrowed
  /// @return false with a Python exception set when it cannot start
  [[nodiscard]] bool serve(PyObject* callable, const gateway::wsgi::RequestHooks& hooks,
                           const pyapi::Gil& gil);
  /// Puts the C handlers for fatal and stop signals in place, in front of Python's.
  void install_handlers();
  void reopen_logs();
  /// Writes what is pending. Any thread, no GIL. @return false: a reader is slow, call again soon
  bool flush_logs();
  /// Takes no new connections, finishes what is held, then serve() returns. Any thread, under the
  /// GIL.
  /// @param why  a word for the arbiter, which starts another worker
  void leave(std::string_view why);
  /// Requests the application was called for. Under the GIL.
  [[nodiscard]] std::uint64_t requests_begun() const { return requests_begun_; }
  /// Lines go to Python's logging. @param access, report  Python callables, the reference is taken
  /// @param channel  for lines of threads without the GIL; @param reopen  written to on USR1
  void use_python_log(PyObject* access, PyObject* report, base::UniqueFd channel, int reopen,
                      base::Level threshold);
  void announce_exit(int status, int tid) {
    worker::announce_exit(page_.header(), control_.get(), status, tid);
  }
  [[nodiscard]] const base::Log& log() const { return log_; }
  [[nodiscard]] const net::Statsd& statsd() const { return statsd_; }
  [[nodiscard]] heartbeat::Header& header() const { return page_.header(); }

 private:
  void finish_logs();
  bool prepare_environs(const pyapi::Gil& gil);
  bool start_threads(const pyapi::Gil& gil);
  void run_request(std::uint32_t index, Exchange& exchange, std::int64_t began_ns,
                   const pyapi::Gil& gil);
  void report(base::Level level, std::string_view line, std::string_view traceback);
  void tell_python_access(const gateway::wsgi::Call& call, const gateway::wsgi::Response& response,
                          PyObject* environ, std::int64_t duration_ns, const pyapi::Gil& gil);
  void note_access(const Exchange& exchange, const gateway::wsgi::Response& response,
                   const heartbeat::Slot& slot, PyObject* environ, std::int64_t duration_ns);
  std::string tell_of_slow_client(const Exchange& exchange, const heartbeat::Slot& slot,
                                  std::int64_t began_ns);
  std::string tell_of_failure(const gateway::wsgi::Failure& failure);
  std::string reference_of_stop();
  void count_request();
  bool name_client(Connection& connection);

  Options options_;
  std::vector<Listener> listeners_;
  heartbeat::Page page_;
  base::UniqueFd control_;
  Notices notices_;
  base::UniqueFd keeper_;
  base::Log log_;
  AccessLog access_log_;
  net::Statsd statsd_;
  gateway::wsgi::RequestHooks hooks_;
  PyObject* python_access_ = nullptr;  // (resp, req, environ, microseconds)
  PyObject* python_report_ = nullptr;  // (level, line, traceback)
  int python_reopen_ = -1;
  std::atomic<bool> readers_slow_{false};  // the sentinel knows, and tries again
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Crew> crew_;
  std::unique_ptr<gateway::wsgi::Application> application_;
  std::vector<std::unique_ptr<gateway::wsgi::Environ>> environs_;    // by listener
  std::vector<std::unique_ptr<gateway::wsgi::Response>> responses_;  // by app thread
  std::uint64_t requests_ = 0;                                       // under the GIL
  std::uint64_t requests_begun_ = 0;                                 // under the GIL
};

}  // namespace tricorn::worker
