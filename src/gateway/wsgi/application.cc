#include "gateway/wsgi/application.h"

#include <fmt/format.h>

#include "gateway/wsgi/file_wrapper.h"
#include "gateway/wsgi/input.h"
#include "gateway/wsgi/keys.h"
#include "gateway/wsgi/request_object.h"
#include "pyapi/error.h"

namespace tricorn::gateway::wsgi {

using pyapi::Gil;
using pyapi::Ref;

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
  if (built != EnvironStatus::Built) {
    refuse(built, call, response, gil);
  } else if (!run(call, response, environ.get(), gil) && !response.client_gone() &&
             call.abort_asked->load() == 0) {
    const http::Refusal* fault = call.body->fault();  // not the application's then
    if (fault != nullptr) {
      response.answer(fault->status, fault->message, gil);
    } else {
      response.fail(gil);
    }
  }
  if (response.body_dropped()) {
    report_(base::Level::Warning,
            fmt::format("{} {}: the application gave a body with status {}, which has none",
                        call.request.head->method_text, call.request.head->path, response.status()),
            {});
  }
  if (hooks_.post_request != nullptr &&
      !call_hook(hooks_.post_request, call, environ.get(), &response)) {
    report_(base::Level::Error, "Exception in post_request hook", pyapi::take_traceback(gil));
  }
  if (input) input_detach(input.get());
  if (call.environ_used != nullptr) *call.environ_used = std::move(environ);
}

// @return false when a 500 is due (and reported) or the client is gone
bool Application::run(const Call& call, Response& response, PyObject* environ, const Gil& gil) {
  const http::RequestHead& head = *call.request.head;
  if (hooks_.pre_request != nullptr && !call_hook(hooks_.pre_request, call, environ, nullptr)) {
    report_exception(head, false);
    return false;
  }
  const Ref start_response = start_response_new(response, gil);
  PyObject* arguments[] = {environ, start_response.get()};
  const Ref iterable =
      start_response ? Ref::steal(PyObject_Vectorcall(callable_, arguments, 2, nullptr)) : Ref();
  bool good = iterable && send_all(iterable.get(), response, gil);
  if (!good && PyErr_Occurred() != nullptr) report_exception(head, response.head_sent());
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
    report_(base::Level::Error,
            fmt::format("Error handling request {} {}: close() of the response", head.method_text,
                        head.path),
            pyapi::take_traceback(gil));
  }
}

bool Application::call_hook(PyObject* hook, const Call& call, PyObject* environ,
                            const Response* response) {
  const Ref request = request_object_new(*call.request.head, Gil::held_by_caller());
  if (!request) return false;
  if (response == nullptr) {
    return static_cast<bool>(
        Ref::steal(PyObject_CallFunctionObjArgs(hook, hooks_.worker, request.get(), nullptr)));
  }
  const Ref answer = response_object_new(*response, Gil::held_by_caller());
  PyObject* given = environ != nullptr ? environ : Py_None;
  return answer && Ref::steal(PyObject_CallFunctionObjArgs(hook, hooks_.worker, request.get(),
                                                           given, answer.get(), nullptr));
}

void Application::refuse(EnvironStatus status, const Call& call, Response& response,
                         const Gil& gil) {
  const http::RequestHead& head = *call.request.head;
  switch (status) {
    case EnvironStatus::Failed:
    case EnvironStatus::Built:
      report_exception(head, false);
      response.fail(gil);
      return;
    case EnvironStatus::ContradictoryScheme:
      response.answer(400, "Contradictory scheme headers", gil);
      return;
    case EnvironStatus::ForbiddenHeader:
      response.answer(
          400, "Invalid HTTP header name: a name with an underscore (--header-map refuse)", gil);
      return;
    case EnvironStatus::ScriptNameMismatch:
      response.answer(
          500, "Configuration problem: the request path does not start with SCRIPT_NAME", gil);
      return;
  }
}

void Application::report_exception(const http::RequestHead& head, bool response_begun) {
  const std::string line =
      response_begun ? fmt::format("Error handling request {} {} (response had begun)",
                                   head.method_text, head.path)
                     : fmt::format("Error handling request {} {}", head.method_text, head.path);
  report_(base::Level::Error, line, pyapi::take_traceback(Gil::held_by_caller()));
}

}  // namespace tricorn::gateway::wsgi
