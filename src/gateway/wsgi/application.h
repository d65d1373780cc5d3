// Calls a WSGI application for one request: PEP 3333 from the server's side.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "gateway/wsgi/body.h"
#include "gateway/wsgi/environ.h"
#include "gateway/wsgi/response.h"
#include "gateway/wsgi/sink.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// Makes all types of this folder known to Python. Once a process. @return false with an exception
/// set
[[nodiscard]] bool ready(const pyapi::Gil& gil);

/// One request to be served.
struct Call {
  EnvironRequest request;      ///< without `input`, which serve() makes
  Environ* environ = nullptr;  ///< of the listener the request came through
  Body* body = nullptr;
  Sink* sink = nullptr;
  bool may_keep_alive = true;          ///< the server's side of it
  pyapi::Ref* environ_used = nullptr;  ///< takes the environ for later, when given
  /// Counts requests that the application is called for. Changed under the GIL.
  std::uint64_t* begun = nullptr;
  /// Not 0: the arbiter aborts this process and answers its clients; no 500 of our own then.
  const std::atomic<std::uint32_t>* abort_asked = nullptr;
  /// Told when `body` has a fault that ends the request, before the client is answered.
  /// @return the reference for the answer; may be empty
  std::function<std::string()> tell_fault;
};

/// Told what went wrong in the application: first a line, then Python's traceback (may be empty).
using Report =
    std::function<void(base::Level level, std::string_view line, std::string_view traceback)>;

/// A failure of the application that says more than that it failed.
struct Failure {
  enum class Kind { Recursion, Memory, Exit };  ///< RecursionError, MemoryError, SystemExit
  Kind kind = Kind::Recursion;
  std::string request;         ///< "GET /orders"
  std::string error;           ///< "MemoryError: ..."
  std::string stack;           ///< lines of "LINE FUNCTION FILE", innermost first
};

/// Told of one. @return the reference for the client's answer; may be empty
using FailureReport = std::function<std::string(const Failure& failure)>;

/// Hooks of the configuration file that run around each request; null: none.
struct RequestHooks {
  PyObject* worker = nullptr;         ///< borrowed, first argument
  PyObject* request_type = nullptr;   ///< makes `req`: request_object_new(); borrowed
  PyObject* response_type = nullptr;  ///< makes `resp`: response_object_new(); borrowed
  PyObject* pre_request = nullptr;    ///< (worker, req), borrowed
  PyObject* post_request = nullptr;   ///< (worker, req, environ, resp), borrowed
};

/// A loaded application. Used by all app threads under the GIL.
class Application {
 public:
  /// @param callable  the WSGI callable, borrowed for the process's life
  Application(PyObject* callable, RequestHooks hooks, Report report, FailureReport failure_report)
      : callable_(callable),
        hooks_(hooks),
        report_(std::move(report)),
        failure_report_(std::move(failure_report)) {}

  /// Serves one request to its end; whatever the application does costs this request at most.
  /// @param response  this thread's, reset here; afterwards it tells status, size and whether to
  /// keep alive
  void serve(const Call& call, Response& response, const pyapi::Gil& gil);

 private:
  bool run(const Call& call, Response& response, PyObject* environ, PyObject* request,
           std::string& reference, const pyapi::Gil& gil);
  bool send_all(PyObject* iterable, Response& response, const pyapi::Gil& gil);
  bool send_known(PyObject* parts, Response& response, const pyapi::Gil& gil);
  bool send_iterated(PyObject* iterable, Response& response, const pyapi::Gil& gil);
  void close(PyObject* iterable, const http::RequestHead& head, const pyapi::Gil& gil);
  bool call_pre_request(PyObject* request) const;
  bool call_post_request(PyObject* request, PyObject* environ, const Response& response,
                         const pyapi::Gil& gil) const;
  void refuse(EnvironStatus status, const Call& call, Response& response, const pyapi::Gil& gil);
  void refuse_as(int status, const std::string& why, const Call& call, Response& response,
                 const pyapi::Gil& gil);
  void report_raised(const std::string& line, const pyapi::Gil& gil);
  std::string report_exception(const http::RequestHead& head, bool response_begun);

  PyObject* callable_;
  RequestHooks hooks_;
  Report report_;
  FailureReport failure_report_;
};

}  // namespace tricorn::gateway::wsgi
