#include "gateway/wsgi/input.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "base/check.h"

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

// Read-ahead of readline(); read() empties it first.
constexpr std::size_t kLineChunkBytes = 8 * 1024;
// Step in which read() without a size grows when the length is not known.
constexpr std::size_t kGrowBytes = 64 * 1024;

struct Input {
  PyObject_HEAD Body* body;
  std::string*
      ahead;  // bytes taken from the body, not given to the application yet; null until needed
  std::size_t ahead_at;
};

Input* self_of(PyObject* object) { return reinterpret_cast<Input*>(object); }

std::size_t ahead_bytes(const Input* self) {
  return self->ahead == nullptr ? 0 : self->ahead->size() - self->ahead_at;
}

// True to go on (got may be 0 at the end), false with an exception.
bool pull(Input* self, char* into, std::size_t bytes_max, std::size_t& got, const Gil& gil) {
  got = 0;
  if (self->body == nullptr) return true;
  switch (self->body->read(into, bytes_max, got, gil)) {
    case BodyStatus::Data:
    case BodyStatus::End:
      return true;
    case BodyStatus::Malformed:
      PyErr_SetString(PyExc_OSError, "malformed chunked request body");
      return false;
    case BodyStatus::Truncated:
      PyErr_SetString(PyExc_ConnectionResetError,
                      "client closed the connection before the end of the request body");
      return false;
    case BodyStatus::TimedOut:
      PyErr_SetString(PyExc_TimeoutError,
                      "client sent nothing of the request body for --body-timeout seconds");
      return false;
  }
  return false;
}

std::size_t take_ahead(Input* self, char* into, std::size_t bytes_max) {
  const std::size_t taken = std::min(ahead_bytes(self), bytes_max);
  if (taken == 0) return 0;
  std::memcpy(into, self->ahead->data() + self->ahead_at, taken);
  self->ahead_at += taken;
  return taken;
}

bool fill_ahead(Input* self, std::size_t& got, const Gil& gil) {
  if (self->ahead == nullptr) self->ahead = new (std::nothrow) std::string();
  if (self->ahead == nullptr) {
    PyErr_NoMemory();
    return false;
  }
  self->ahead->erase(0, self->ahead_at);
  self->ahead_at = 0;
  const std::size_t before = self->ahead->size();
  self->ahead->resize(before + kLineChunkBytes);
  const bool good = pull(self, self->ahead->data() + before, kLineChunkBytes, got, gil);
  self->ahead->resize(before + got);
  return good;
}

// Reads exactly `bytes`, or less at the end of the body.
PyObject* read_sized(Input* self, std::size_t bytes, const Gil& gil) {
  PyObject* result = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes));
  if (result == nullptr) return nullptr;
  char* into = PyBytes_AS_STRING(result);
  std::size_t have = take_ahead(self, into, bytes);
  while (have < bytes) {
    std::size_t got = 0;
    if (!pull(self, into + have, bytes - have, got, gil)) {
      Py_DECREF(result);
      return nullptr;
    }
    if (got == 0) break;
    have += got;
  }
  if (have < bytes) _PyBytes_Resize(&result, static_cast<Py_ssize_t>(have));
  return result;
}

// The length is not known (chunked): grow step by step.
PyObject* read_all_chunked(Input* self, const Gil& gil) {
  std::string all;
  all.resize(ahead_bytes(self));
  take_ahead(self, all.data(), all.size());
  for (;;) {
    const std::size_t have = all.size();
    all.resize(have + kGrowBytes);
    std::size_t got = 0;
    if (!pull(self, all.data() + have, kGrowBytes, got, gil)) return nullptr;
    all.resize(have + got);
    if (got == 0) return PyBytes_FromStringAndSize(all.data(), static_cast<Py_ssize_t>(all.size()));
  }
}

PyObject* read_bytes(Input* self, Py_ssize_t size, const Gil& gil) {
  const std::int64_t remaining = self->body == nullptr ? 0 : self->body->remaining();
  if (remaining < 0) {
    return size < 0 ? read_all_chunked(self, gil)
                    : read_sized(self, static_cast<std::size_t>(size), gil);
  }
  const std::size_t left = ahead_bytes(self) + static_cast<std::size_t>(remaining);
  return read_sized(self, size < 0 ? left : std::min(left, static_cast<std::size_t>(size)), gil);
}

// -1 for None or nothing, as the io module has it.
bool size_argument(PyObject* const* args, Py_ssize_t count, const char* function,
                   Py_ssize_t& size) {
  size = -1;
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", function, count);
    return false;
  }
  if (count == 0 || args[0] == Py_None) return true;
  size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  return !(size == -1 && PyErr_Occurred() != nullptr);
}

PyObject* input_read(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t size;
  if (!size_argument(args, count, "read", size)) return nullptr;
  return read_bytes(self_of(object), size, Gil::held_by_caller());
}

// Length of the line at the front of the read-ahead, reading on until there is one or the limit is
// met.
bool find_line(Input* self, std::size_t limit, std::size_t& length, const Gil& gil) {
  std::size_t scanned = 0;
  for (;;) {
    const std::size_t have = ahead_bytes(self);
    const std::size_t within = std::min(have, limit);
    const char* start = within == 0 ? nullptr : self->ahead->data() + self->ahead_at;
    const void* newline =
        within > scanned ? std::memchr(start + scanned, '\n', within - scanned) : nullptr;
    if (newline != nullptr) {
      length = static_cast<std::size_t>(static_cast<const char*>(newline) - start) + 1;
      return true;
    }
    scanned = within;
    std::size_t got = 0;
    if (have < limit && !fill_ahead(self, got, gil)) return false;
    if (got == 0) {
      length = within;
      return true;
    }
  }
}

PyObject* read_line(Input* self, Py_ssize_t size, const Gil& gil) {
  std::size_t length = 0;
  if (!find_line(self, size < 0 ? SIZE_MAX : static_cast<std::size_t>(size), length, gil))
    return nullptr;
  PyObject* line = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length));
  if (line != nullptr) take_ahead(self, PyBytes_AS_STRING(line), length);
  return line;
}

PyObject* input_readline(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t size;
  if (!size_argument(args, count, "readline", size)) return nullptr;
  return read_line(self_of(object), size, Gil::held_by_caller());
}

PyObject* input_readlines(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t hint;
  if (!size_argument(args, count, "readlines", hint)) return nullptr;
  Ref lines = Ref::steal(PyList_New(0));
  Py_ssize_t total = 0;
  while (lines && (hint <= 0 || total < hint)) {
    const Ref line = Ref::steal(read_line(self_of(object), -1, Gil::held_by_caller()));
    if (!line) return nullptr;
    if (PyBytes_GET_SIZE(line.get()) == 0) break;
    total += PyBytes_GET_SIZE(line.get());
    if (PyList_Append(lines.get(), line.get()) != 0) return nullptr;
  }
  return lines.release();
}

PyObject* input_next(PyObject* object) {
  PyObject* line = read_line(self_of(object), -1, Gil::held_by_caller());
  if (line != nullptr && PyBytes_GET_SIZE(line) == 0)
    Py_CLEAR(line);  // null without exception: StopIteration
  return line;
}

PyObject* input_close(PyObject* /*self*/, PyObject* /*none*/) { Py_RETURN_NONE; }

void input_dealloc(PyObject* object) {
  delete self_of(object)->ahead;
  PyObject_Free(object);
}

PyMethodDef kMethods[] = {
    {"read", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(input_read)), METH_FASTCALL,
     "read(size=-1) -> bytes: up to size bytes of the request body, all of it by default"},
    {"readline", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(input_readline)),
     METH_FASTCALL, "readline(size=-1) -> bytes: the next line with its end"},
    {"readlines", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(input_readlines)),
     METH_FASTCALL, "readlines(hint=-1) -> list of the lines left"},
    {"close", input_close, METH_NOARGS, "close(): does nothing; the server owns the stream"},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject g_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn.Input";
  type.tp_basicsize = sizeof(Input);
  type.tp_dealloc = input_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_doc = "wsgi.input: the request body";
  type.tp_iter = PyObject_SelfIter;
  type.tp_iternext = input_next;
  type.tp_methods = kMethods;
  return type;
}();

}  // namespace

bool input_ready(const Gil& /*gil*/) { return PyType_Ready(&g_type) == 0; }

Ref input_new(Body* body, const Gil& /*gil*/) {
  auto* self = PyObject_New(Input, &g_type);
  if (self == nullptr) return {};
  self->body = body;
  self->ahead = nullptr;
  self->ahead_at = 0;
  return Ref::steal(reinterpret_cast<PyObject*>(self));
}

void input_detach(PyObject* input) {
  TRICORN_CHECK(Py_TYPE(input) == &g_type);
  self_of(input)->body = nullptr;
}

}  // namespace tricorn::gateway::wsgi
