// Interned strings of every environ. Made once, never freed.
#pragma once

#include <array>

#include "http/message.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

struct Keys {
  PyObject *request_method, *path_info, *query_string, *raw_uri, *server_protocol, *remote_addr,
      *proxy_protocol, *proxy_addr, *proxy_port, *remote_port;
  PyObject *input, *url_scheme, *script_name, *server_name, *server_port;
  PyObject *empty, *root, *http, *https, *http10, *http11;
  std::array<PyObject*, 10> method;  ///< by http::Method; null for Other
  std::array<PyObject*, http::kKnownFields>
      known;  ///< "HTTP_USER_AGENT", CONTENT_TYPE and CONTENT_LENGTH bare
};

/// Makes them. @return false with a Python exception set
[[nodiscard]] bool keys_ready(const pyapi::Gil& gil);
[[nodiscard]] const Keys& keys();

}  // namespace tricorn::gateway::wsgi
