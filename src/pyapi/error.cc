#include "pyapi/error.h"

#include "pyapi/ref.h"

namespace tricorn::pyapi {
namespace {

std::string utf8(PyObject* text) {
  Py_ssize_t size = 0;
  const char* data = text == nullptr ? nullptr : PyUnicode_AsUTF8AndSize(text, &size);
  if (data == nullptr) {
    PyErr_Clear();  // lone surrogates in a message: nothing worth failing over
    return {};
  }
  return {data, static_cast<std::size_t>(size)};
}

Ref format(PyObject* type, PyObject* value, PyObject* traceback) {
  const Ref module = Ref::steal(PyImport_ImportModule("traceback"));
  if (!module) return {};
  const Ref lines = Ref::steal(PyObject_CallMethod(module.get(), "format_exception", "OOO", type,
                                                   value == nullptr ? Py_None : value,
                                                   traceback == nullptr ? Py_None : traceback));
  const Ref empty = Ref::steal(PyUnicode_FromString(""));
  return lines && empty ? Ref::steal(PyUnicode_Join(empty.get(), lines.get())) : Ref();
}

}  // namespace

std::string take_traceback(const Gil& /*gil*/) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (type == nullptr) return {};
  PyErr_NormalizeException(&type, &value, &traceback);
  const Ref owned_type = Ref::steal(type);
  const Ref owned_value = Ref::steal(value);
  const Ref owned_traceback = Ref::steal(traceback);
  const Ref text = format(type, value, traceback);
  std::string result = utf8(text.get());
  PyErr_Clear();
  return result;
}

}  // namespace tricorn::pyapi
