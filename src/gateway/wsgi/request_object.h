// What hooks see of a request and its response: objects of Python classes that are given to us.
#pragma once

#include "gateway/wsgi/environ.h"
#include "gateway/wsgi/response.h"
#include "http/message.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// type(method, uri, path, query, version, headers, peer, scheme, keep_alive, body).
/// @param environ  tells the scheme; null: http
/// @return null with an exception set
[[nodiscard]] pyapi::Ref request_object_new(PyObject* type, const EnvironRequest& request,
                                            PyObject* environ, const pyapi::Gil& gil);

/// type(req, status, headers, sent, response_length, headers_sent, chunked, keep_alive).
/// @return null with an exception set
[[nodiscard]] pyapi::Ref response_object_new(PyObject* type, PyObject* request,
                                             const Response& response, const pyapi::Gil& gil);

}  // namespace tricorn::gateway::wsgi
