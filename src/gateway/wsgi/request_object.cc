#include "gateway/wsgi/request_object.h"

#include <string>

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

PyObject* namespace_type() {
  static PyObject* const type = [] {
    const Ref types = Ref::steal(PyImport_ImportModule("types"));
    return types ? PyObject_GetAttrString(types.get(), "SimpleNamespace") : nullptr;
  }();
  return type;
}

PyObject* latin1(std::string_view text) {
  return PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
}

Ref make(Ref attributes) {
  PyObject* type = namespace_type();
  if (!attributes || type == nullptr) return {};
  const Ref none = Ref::steal(PyTuple_New(0));
  return none ? Ref::steal(PyObject_Call(type, none.get(), attributes.get())) : Ref();
}

// [("USER-AGENT", "curl")]: upper-case names as in Gunicorn's req.headers.
Ref headers_of(const http::RequestHead& head) {
  Ref list = Ref::steal(PyList_New(0));
  for (const http::Field& field : head.fields) {
    std::string name(field.name);
    for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    const Ref pair = Ref::steal(Py_BuildValue("(NN)", latin1(name), latin1(field.value)));
    if (!list || !pair || PyList_Append(list.get(), pair.get()) != 0) return {};
  }
  return list;
}

Ref headers_of(std::string_view lines) {
  Ref list = Ref::steal(PyList_New(0));
  while (!lines.empty()) {
    const std::size_t end = lines.find("\r\n");
    const std::size_t colon = lines.find(": ");
    const Ref pair = Ref::steal(Py_BuildValue("(NN)", latin1(lines.substr(0, colon)),
                                              latin1(lines.substr(colon + 2, end - colon - 2))));
    if (!list || !pair || PyList_Append(list.get(), pair.get()) != 0) return {};
    lines.remove_prefix(end + 2);
  }
  return list;
}

}  // namespace

Ref request_object_new(const http::RequestHead& head, const Gil& /*gil*/) {
  Ref headers = headers_of(head);
  if (!headers) return {};
  return make(Ref::steal(Py_BuildValue("{s:N,s:N,s:N,s:N,s:(ii),s:N}", "method",
                                       latin1(head.method_text), "path", latin1(head.path), "uri",
                                       latin1(head.target), "query", latin1(head.query), "version",
                                       1, head.version_minor, "headers", headers.release())));
}

Ref response_object_new(const Response& response, const Gil& /*gil*/) {
  Ref headers = headers_of(response.fields());
  if (!headers) return {};
  const bool known = response.status() != 0;
  PyObject* status = known ? latin1(response.status_line()) : Py_NewRef(Py_None);
  PyObject* code = known ? PyLong_FromLong(response.status()) : Py_NewRef(Py_None);
  return make(Ref::steal(Py_BuildValue(
      "{s:N,s:N,s:N,s:K,s:K}", "status", status, "status_code", code, "headers", headers.release(),
      "sent", static_cast<unsigned long long>(response.body_bytes()), "response_length",
      static_cast<unsigned long long>(response.body_bytes()))));
}

}  // namespace tricorn::gateway::wsgi
