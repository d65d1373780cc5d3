#include "worker/error_stream.h"

#include <new>
#include <string>
#include <string_view>

namespace tricorn::worker {
namespace {

using pyapi::Ref;

struct ErrorStream {
  PyObject_HEAD const base::Log* log;
  std::string* unended;
};

ErrorStream* self_of(PyObject* object) { return reinterpret_cast<ErrorStream*>(object); }

void add(ErrorStream* self, std::string_view text) {
  self->unended->append(text);
  std::size_t end = self->unended->rfind('\n');
  if (end == std::string::npos && self->unended->size() < kErrorLineMax) return;
  end = end == std::string::npos ? self->unended->size() : end + 1;
  self->log->write_raw(std::string_view(*self->unended).substr(0, end));
  self->unended->erase(0, end);
}

PyObject* stream_write(PyObject* object, PyObject* text) {
  if (!PyUnicode_Check(text))
    return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %s",
                        Py_TYPE(text)->tp_name);
  const Ref bytes = Ref::steal(PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"));
  if (!bytes) return nullptr;
  add(self_of(object),
      {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))});
  return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

PyObject* stream_writelines(PyObject* object, PyObject* lines) {
  const Ref each = Ref::steal(PyObject_GetIter(lines));
  while (each) {
    const Ref line = Ref::steal(PyIter_Next(each.get()));
    if (!line) break;
    if (!Ref::steal(stream_write(object, line.get()))) return nullptr;
  }
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_NONE;
}

PyObject* stream_flush(PyObject* object, PyObject* /*none*/) {
  std::string& unended = *self_of(object)->unended;
  if (!unended.empty()) self_of(object)->log->write_raw(unended);
  unended.clear();
  Py_RETURN_NONE;
}

PyObject* stream_fileno(PyObject* object, PyObject* /*none*/) {
  return PyLong_FromLong(self_of(object)->log->fd());
}

PyObject* stream_isatty(PyObject* /*self*/, PyObject* /*none*/) { Py_RETURN_FALSE; }

// The server owns the stream: PEP 3333 forbids applications to close it.
PyObject* stream_close(PyObject* object, PyObject* none) { return stream_flush(object, none); }

void stream_dealloc(PyObject* object) {
  delete self_of(object)->unended;
  PyObject_Free(object);
}

PyMethodDef kMethods[] = {
    {"write", stream_write, METH_O, "write(text) -> int: its length"},
    {"writelines", stream_writelines, METH_O, "writelines(lines)"},
    {"flush", stream_flush, METH_NOARGS, "flush(): writes a line that has no end yet"},
    {"fileno", stream_fileno, METH_NOARGS, "fileno() -> int: the error log's descriptor"},
    {"isatty", stream_isatty, METH_NOARGS, "isatty() -> False"},
    {"close", stream_close, METH_NOARGS, "close(): flushes; the server owns the stream"},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject g_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn.ErrorStream";
  type.tp_basicsize = sizeof(ErrorStream);
  type.tp_dealloc = stream_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_doc = "wsgi.errors: text into the error log";
  type.tp_methods = kMethods;
  return type;
}();

}  // namespace

Ref error_stream(const base::Log& log, const pyapi::Gil& /*gil*/) {
  if (PyType_Ready(&g_type) != 0) return {};
  auto* self = PyObject_New(ErrorStream, &g_type);
  if (self == nullptr) return {};
  self->log = &log;
  self->unended = new std::string;
  return Ref::steal(reinterpret_cast<PyObject*>(self));
}

}  // namespace tricorn::worker
