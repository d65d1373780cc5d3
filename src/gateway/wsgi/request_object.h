// What hooks see of a request and its response: plain objects with Gunicorn's attribute names.
#pragma once

#include "gateway/wsgi/response.h"
#include "http/message.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// types.SimpleNamespace(method, path, uri, query, version, headers). @return null with an
/// exception set
[[nodiscard]] pyapi::Ref request_object_new(const http::RequestHead& head, const pyapi::Gil& gil);

/// types.SimpleNamespace(status, status_code, headers, sent, response_length). @return null with an
/// exception set
[[nodiscard]] pyapi::Ref response_object_new(const Response& response, const pyapi::Gil& gil);

}  // namespace tricorn::gateway::wsgi
