#include "pyapi/error.h"

#include <algorithm>
#include <vector>

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

constexpr std::size_t kStackRowsMax = 40;

/// "LINE FUNCTION FILE" of one entry of a traceback; empty when it cannot be read.
std::string row_of(PyObject* entry) {
  const Ref line = Ref::steal(PyObject_GetAttrString(entry, "tb_lineno"));
  const Ref frame = Ref::steal(PyObject_GetAttrString(entry, "tb_frame"));
  const Ref code = frame ? Ref::steal(PyObject_GetAttrString(frame.get(), "f_code")) : Ref();
  Ref name = code ? Ref::steal(PyObject_GetAttrString(code.get(), "co_qualname")) : Ref();
  if (code && !name) {  // before 3.11
    PyErr_Clear();
    name = Ref::steal(PyObject_GetAttrString(code.get(), "co_name"));
  }
  const Ref file = code ? Ref::steal(PyObject_GetAttrString(code.get(), "co_filename")) : Ref();
  const long number = line ? PyLong_AsLong(line.get()) : -1;
  PyErr_Clear();
  if (!name || !file || number < 0) return {};
  return std::to_string(number) + " " + utf8(name.get()) + " " + utf8(file.get()) + "\n";
}

}  // namespace

std::string stack_of_exception(const Gil& /*gil*/) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  std::vector<Ref> entries;  // outermost first, the last ones of them
  for (Ref entry = Ref::borrow(traceback); entry && entry.get() != Py_None;) {
    Ref next = Ref::steal(PyObject_GetAttrString(entry.get(), "tb_next"));
    if (entries.size() >= kStackRowsMax) entries.erase(entries.begin());
    entries.push_back(std::move(entry));
    entry = std::move(next);
  }
  std::string rows;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry)
    rows += row_of(entry->get());
  PyErr_Clear();
  PyErr_Restore(type, value, traceback);
  return rows;
}

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
