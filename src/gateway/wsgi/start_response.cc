// The Python face of Response: the start_response callable and the write callable it returns.
#include <cstddef>

#include "base/check.h"
#include "gateway/wsgi/response.h"

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

// One object plays both parts: called as start_response it returns a Writer that refers to it.
struct StartResponse {
  PyObject_HEAD vectorcallfunc call;
  Response* response;  // null once the request is over
};

struct Writer {
  PyObject_HEAD vectorcallfunc call;
  StartResponse* start;  // owned
};

StartResponse* start_of(PyObject* object) { return reinterpret_cast<StartResponse*>(object); }
Writer* writer_of(PyObject* object) { return reinterpret_cast<Writer*>(object); }

bool still_open(const StartResponse* self) {
  if (self->response != nullptr) return true;
  PyErr_SetString(PyExc_RuntimeError,
                  "start_response or write called after the end of its request");
  return false;
}

PyObject* writer_call(PyObject* object, PyObject* const* args, std::size_t flags,
                      PyObject* keywords) {
  const StartResponse* start = writer_of(object)->start;
  if (!still_open(start)) return nullptr;
  if (PyVectorcall_NARGS(flags) != 1 || keywords != nullptr) {
    PyErr_SetString(PyExc_TypeError, "write() takes exactly one argument, the bytes");
    return nullptr;
  }
  if (start->response->write(args[0], false, Gil::held_by_caller())) Py_RETURN_NONE;
  if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_BrokenPipeError, "the client is gone");
  return nullptr;
}

void writer_dealloc(PyObject* object) {
  Py_DECREF(writer_of(object)->start);
  PyObject_Free(object);
}

PyTypeObject g_writer_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn.write";
  type.tp_basicsize = sizeof(Writer);
  type.tp_dealloc = writer_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
  type.tp_vectorcall_offset = offsetof(Writer, call);
  type.tp_call = PyVectorcall_Call;
  type.tp_doc = "write(bytes): sends a part of the body at once";
  return type;
}();

PyObject* writer_new(StartResponse* start) {
  auto* writer = PyObject_New(Writer, &g_writer_type);
  if (writer == nullptr) return nullptr;
  writer->call = writer_call;
  writer->start = start;
  Py_INCREF(start);
  return reinterpret_cast<PyObject*>(writer);
}

// Keywords are not in PEP 3333 but applications use exc_info=...
bool keyword_arguments(PyObject* const* values, PyObject* keywords, PyObject** slots) {
  static const char* names[] = {"status", "headers", "exc_info"};
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    int found = -1;
    for (int slot = 0; slot < 3; ++slot) {
      if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), names[slot]) == 0)
        found = slot;
    }
    if (found < 0 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), "response_headers") == 0)
      found = 1;
    if (found < 0 || slots[found] != nullptr) return false;
    slots[found] = values[i];
  }
  return true;
}

PyObject* start_call(PyObject* object, PyObject* const* args, std::size_t flags,
                     PyObject* keywords) {
  StartResponse* self = start_of(object);
  if (!still_open(self)) return nullptr;
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  PyObject* slots[3] = {};
  for (Py_ssize_t i = 0; i < count && i < 3; ++i) slots[i] = args[i];
  const bool known = keywords == nullptr || keyword_arguments(args + count, keywords, slots);
  if (!known || count > 3 || slots[0] == nullptr || slots[1] == nullptr) {
    PyErr_SetString(PyExc_TypeError, "start_response(status, headers, exc_info=None)");
    return nullptr;
  }
  PyObject* exc_info = slots[2] == Py_None ? nullptr : slots[2];
  if (!self->response->start(slots[0], slots[1], exc_info, Gil::held_by_caller())) return nullptr;
  return writer_new(self);
}

void start_dealloc(PyObject* object) { PyObject_Free(object); }

PyTypeObject g_start_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn.start_response";
  type.tp_basicsize = sizeof(StartResponse);
  type.tp_dealloc = start_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
  type.tp_vectorcall_offset = offsetof(StartResponse, call);
  type.tp_call = PyVectorcall_Call;
  type.tp_doc = "start_response(status, headers, exc_info=None) -> write";
  return type;
}();

}  // namespace

bool response_ready(const Gil& /*gil*/) {
  return PyType_Ready(&g_writer_type) == 0 && PyType_Ready(&g_start_type) == 0;
}

Ref start_response_new(Response& response, const Gil& /*gil*/) {
  auto* self = PyObject_New(StartResponse, &g_start_type);
  if (self == nullptr) return {};
  self->call = start_call;
  self->response = &response;
  return Ref::steal(reinterpret_cast<PyObject*>(self));
}

void start_response_detach(PyObject* start_response) {
  TRICORN_CHECK(Py_TYPE(start_response) == &g_start_type);
  start_of(start_response)->response = nullptr;
}

}  // namespace tricorn::gateway::wsgi
