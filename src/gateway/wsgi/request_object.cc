#include "gateway/wsgi/request_object.h"

#include <string>

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

PyObject* latin1(std::string_view text) {
  return PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
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

// (host, port) of a TCP client, "" for a unix socket's: what accept() gives in Python.
Ref peer_of(const EnvironRequest& request) {
  if (request.remote_port == nullptr) return Ref::steal(PyUnicode_FromString(""));
  const Ref port = Ref::steal(PyLong_FromUnicodeObject(request.remote_port, 10));
  return port ? Ref::steal(PyTuple_Pack(2, request.remote_addr, port.get())) : Ref();
}

PyObject* scheme_of(PyObject* environ) {
  PyObject* scheme =
      environ == nullptr ? nullptr : PyDict_GetItemString(environ, "wsgi.url_scheme");
  return scheme == nullptr ? PyUnicode_FromString("http") : Py_NewRef(scheme);
}

}  // namespace

Ref request_object_new(PyObject* type, const EnvironRequest& request, PyObject* environ,
                       const Gil& /*gil*/) {
  const http::RequestHead& head = *request.head;
  Ref headers = headers_of(head);
  Ref peer = headers ? peer_of(request) : Ref();
  if (!peer) return {};
  const Ref arguments = Ref::steal(
      Py_BuildValue("(NNNN(ii)NNNOO)", latin1(head.method_text), latin1(head.target),
                    latin1(head.path), latin1(head.query), 1, head.version_minor, headers.release(),
                    peer.release(), scheme_of(environ), head.keep_alive ? Py_True : Py_False,
                    request.input == nullptr ? Py_None : request.input));
  return arguments ? Ref::steal(PyObject_CallObject(type, arguments.get())) : Ref();
}

Ref response_object_new(PyObject* type, PyObject* request, const Response& response,
                        const Gil& /*gil*/) {
  Ref headers = headers_of(response.fields());
  if (!headers) return {};
  PyObject* status = response.status() != 0 ? latin1(response.status_line()) : Py_NewRef(Py_None);
  const auto length = response.content_length();
  PyObject* promised = length ? PyLong_FromUnsignedLongLong(*length) : Py_NewRef(Py_None);
  const Ref arguments = Ref::steal(Py_BuildValue(
      "(ONNKNOOO)", request, status, headers.release(),
      static_cast<unsigned long long>(response.body_bytes()), promised,
      response.head_sent() ? Py_True : Py_False, response.chunked() ? Py_True : Py_False,
      response.keep_alive() ? Py_True : Py_False));
  return arguments ? Ref::steal(PyObject_CallObject(type, arguments.get())) : Ref();
}

}  // namespace tricorn::gateway::wsgi
