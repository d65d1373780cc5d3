#include "gateway/wsgi/application.h"

#include <fmt/format.h>

#include <utility>

#include "gateway/wsgi/file_wrapper.h"
#include "gateway/wsgi/input.h"
#include "gateway/wsgi/keys.h"
#include "gateway/wsgi/request_object.h"
#include "pyapi/error.h"
#include "pyapi/interruption.h"

namespace tricorn::gateway::wsgi {

using pyapi::Gil;
using pyapi::Ref;

namespace {

std::string last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

// Of the exception that is set. @return whether it is one of these
bool classify(Failure& failure) {
  for (const auto& [type, kind] : {std::pair{PyExc_RecursionError, Failure::Kind::Recursion},
                                   {PyExc_MemoryError, Failure::Kind::Memory},
                                   {PyExc_SystemExit, Failure::Kind::Exit}}) {
    failure.kind = kind;
    if (PyErr_ExceptionMatches(type) != 0) return true;
  }
  return false;
}

}  // namespace

bool ready(const Gil& gil) {
  return keys_ready(gil) && input_ready(gil) && file_wrapper_ready(gil) && response_ready(gil);
}

void Application::serve(const Call& call, Response& response, const Gil& gil) {
  response.reset(*call.request.head, *call.sink, call.may_keep_alive);
  EnvironRequest request = call.request;
  const Ref input = input_new(call.body, gil);
  request.input = input.get();
  Ref environ;
  const EnvironStatus built =
      input ? call.environ->build(request, environ, gil) : EnvironStatus::Failed;
  Ref seen;  // by the hooks: one object for both, they leave notes on it
  const bool hooked = hooks_.pre_request != nullptr || hooks_.post_request != nullptr;
  if (hooked && built != EnvironStatus::Failed) {
    seen = request_object_new(hooks_.request_type, request, environ.get(), gil);
    if (!seen) report_raised("Exception before a hook", gil);
  }
  std::string reference;
  if (built != EnvironStatus::Built) {
    refuse(built, call, response, gil);
  } else if (!run(call, response, environ.get(), seen.get(), reference, gil) &&
             !response.client_gone() && call.abort_asked->load() == 0) {
    const http::Refusal* fault = call.body->fault();  // not the application's then
    if (fault != nullptr) {
      reference = call.tell_fault ? call.tell_fault() : std::string();
      response.answer(fault->status, fault->message, gil, reference);
    } else {
      response.fail(reference, gil);
    }
  }
  if (response.body_dropped()) {
    report_(base::Level::Warning,
            fmt::format("{} {}: the application gave a body with status {}, which has none",
                        call.request.head->method_text, call.request.head->path, response.status()),
            {});
  }
  if (hooks_.post_request != nullptr && seen &&
      !call_post_request(seen.get(), environ.get(), response, gil)) {
    report_raised("Exception in post_request hook", gil);
  }
  if (input) input_detach(input.get());
  if (call.environ_used != nullptr) *call.environ_used = std::move(environ);
}

// @return false when a 500 is due (and reported) or the client is gone
bool Application::run(const Call& call, Response& response, PyObject* environ, PyObject* request,
                      std::string& reference, const Gil& gil) {
  const http::RequestHead& head = *call.request.head;
  if (hooks_.pre_request != nullptr && request != nullptr && !call_pre_request(request)) {
    reference = report_exception(head, false);
    return false;
  }
  if (call.begun != nullptr) ++*call.begun;
  const Ref start_response = start_response_new(response, gil);
  PyObject* arguments[] = {environ, start_response.get()};
  const Ref iterable =
      start_response ? Ref::steal(PyObject_Vectorcall(callable_, arguments, 2, nullptr)) : Ref();
  bool good = iterable && send_all(iterable.get(), response, gil);
  if (!good && PyErr_Occurred() != nullptr)
    reference = report_exception(head, response.head_sent());
  if (iterable) close(iterable.get(), head, gil);
  if (start_response) start_response_detach(start_response.get());
  return good;
}

bool Application::send_all(PyObject* iterable, Response& response, const Gil& gil) {
  if (PyList_CheckExact(iterable) || PyTuple_CheckExact(iterable))
    return send_known(iterable, response, gil);
  if (PyBytes_CheckExact(iterable)) {  // a frequent mistake: iterating would give integers
    return response.write(iterable, true, gil) && response.finish(gil);
  }
  const SendableFile file = sendable_file(iterable, gil);
  if (file.fd >= 0 && !response.head_sent()) return response.write_file(file, gil);
  return send_iterated(iterable, response, gil);
}

// All parts are there: their length is the body's, and nothing is held back.
bool Application::send_known(PyObject* parts, Response& response, const Gil& gil) {
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(parts);
  std::uint64_t total = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* part = PySequence_Fast_GET_ITEM(parts, i);
    if (PyBytes_Check(part)) total += static_cast<std::uint64_t>(PyBytes_GET_SIZE(part));
  }
  if (!response.head_sent()) response.body_is(total);
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(parts); ++i) {
    const Ref part = Ref::borrow(PySequence_Fast_GET_ITEM(parts, i));
    if (!response.write(part.get(), i + 1 == count, gil)) return false;
  }
  return response.finish(gil);
}

bool Application::send_iterated(PyObject* iterable, Response& response, const Gil& gil) {
  const Ref iterator = Ref::steal(PyObject_GetIter(iterable));
  if (!iterator) return false;
  for (;;) {
    const Ref part = Ref::steal(PyIter_Next(iterator.get()));
    if (!part) return PyErr_Occurred() == nullptr && response.finish(gil);
    if (!response.write(part.get(), false, gil)) return false;
  }
}

// Exactly once, whatever happened before. Source: PEP 3333, "The Server/Gateway Side".
void Application::close(PyObject* iterable, const http::RequestHead& head, const Gil& gil) {
  if (PyList_CheckExact(iterable) || PyTuple_CheckExact(iterable) || PyBytes_CheckExact(iterable))
    return;
  static PyObject* const name = PyUnicode_InternFromString("close");
  const Ref method = Ref::steal(PyObject_GetAttr(iterable, name));
  if (!method) {
    PyErr_Clear();
    return;
  }
  if (method.get() == Py_None) return;
  const Ref result = Ref::steal(PyObject_CallNoArgs(method.get()));
  if (!result) {
    report_raised(fmt::format("Error handling request {} {}: close() of the response",
                              head.method_text, head.path),
                  gil);
  }
}

bool Application::call_pre_request(PyObject* request) const {
  return static_cast<bool>(Ref::steal(
      PyObject_CallFunctionObjArgs(hooks_.pre_request, hooks_.worker, request, nullptr)));
}

bool Application::call_post_request(PyObject* request, PyObject* environ, const Response& response,
                                    const Gil& gil) const {
  const Ref answer = response_object_new(hooks_.response_type, request, response, gil);
  PyObject* given = environ != nullptr ? environ : Py_None;
  return answer && Ref::steal(PyObject_CallFunctionObjArgs(hooks_.post_request, hooks_.worker,
                                                           request, given, answer.get(), nullptr));
}

void Application::refuse(EnvironStatus status, const Call& call, Response& response,
                         const Gil& gil) {
  const http::RequestHead& head = *call.request.head;
  switch (status) {
    case EnvironStatus::Failed:
    case EnvironStatus::Built:
      response.fail(report_exception(head, false), gil);
      return;
    case EnvironStatus::ContradictoryScheme:
      return refuse_as(400, "Contradictory scheme headers", call, response, gil);
    case EnvironStatus::ForbiddenHeader:
      return refuse_as(400,
                       "Invalid HTTP header name: a name with an underscore (--header-map refuse)",
                       call, response, gil);
    case EnvironStatus::ScriptNameMismatch:
      return refuse_as(
          500,
          fmt::format("Configuration problem: Request path '{}' does not start with SCRIPT_NAME",
                      head.path),
          call, response, gil);
  }
}

void Application::refuse_as(int status, const std::string& why, const Call& call,
                            Response& response, const Gil& gil) {
  const char* ip = PyUnicode_AsUTF8(call.request.remote_addr);
  if (ip == nullptr) PyErr_Clear();
  report_(base::Level::Warning,
          fmt::format("Invalid request from ip={}: {}", ip == nullptr ? "" : ip, why), {});
  response.answer(status, why, gil);
}

// Takes what was raised. An interruption is the arbiter's, which has told of it.
void Application::report_raised(const std::string& line, const Gil& gil) {
  if (pyapi::is_interruption(gil)) return PyErr_Clear();
  report_(base::Level::Error, line, pyapi::take_traceback(gil));
}

// @return the reference of an incident, if it is one
std::string Application::report_exception(const http::RequestHead& head, bool response_begun) {
  if (pyapi::is_interruption(Gil::held_by_caller())) {
    PyErr_Clear();
    return {};
  }
  const std::string line =
      response_begun ? fmt::format("Error handling request {} {} (response had begun)",
                                   head.method_text, head.path)
                     : fmt::format("Error handling request {} {}", head.method_text, head.path);
  Failure failure;
  const bool tells_more = classify(failure);
  const Gil& gil = Gil::held_by_caller();
  if (tells_more) failure.stack = pyapi::stack_of_exception(gil);
  const std::string traceback = pyapi::take_traceback(gil);
  report_(base::Level::Error, line, traceback);
  if (!tells_more || !failure_report_) return {};
  failure.request = fmt::format("{} {}", head.method_text, head.path);
  failure.error = last_line(traceback);
  return failure_report_(failure);
}

}  // namespace tricorn::gateway::wsgi
