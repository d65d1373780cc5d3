// The environ of a request: PEP 3333's dictionary, with Gunicorn's keys.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/wsgi/file_wrapper.h"
#include "http/message.h"
#include "http/proxy_header.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// What stays the same for all requests of a listener.
struct EnvironBase {
  std::string server_name;
  std::string server_port;  ///< empty for a unix socket: taken from Host then
  std::string server_software;
  std::string script_name;  ///< SCRIPT_NAME of the process environment
  bool multithread = false;
  bool multiprocess = false;
};

/// Which header names with an underscore reach the application. Source: Gunicorn's header_map.
enum class HeaderMap { Drop, Refuse, Dangerous };

/// Who may say what about the original request. Source: gunicorn.md section 6.1; docs/settings.md.
struct TrustRules {
  HeaderMap header_map = HeaderMap::Drop;
  bool forward_all = false;                    ///< forwarder_headers = "*"
  std::vector<std::string> forwarder_headers;  ///< upper case, e.g. "SCRIPT_NAME"
  std::vector<std::pair<std::string, std::string>>
      secure_scheme_headers;  ///< upper case with '-', value
};

/// Outcome of building an environ.
enum class EnvironStatus {
  Built,
  Failed,               ///< a Python exception is set
  ContradictoryScheme,  ///< two secure_scheme_headers disagree: 400
  ForbiddenHeader,      ///< header_map=refuse met a name with an underscore: 400
  ScriptNameMismatch,   ///< the path does not start with SCRIPT_NAME: 500
};

/// One request's facts besides its head.
struct EnvironRequest {
  const http::RequestHead* head = nullptr;
  PyObject* remote_addr = nullptr;  ///< str
  PyObject* remote_port = nullptr;  ///< str, null for a unix socket
  PyObject* input = nullptr;
  bool trusted = false;                        ///< the client is in forwarded_allow_ips
  const http::ProxyHeader* proxied = nullptr;  ///< what a PROXY header told of this connection
};

/// Builds environs for one listener. Made once, used by all app threads under the GIL.
class Environ {
 public:
  Environ() = default;
  /// @param errors  wsgi.errors
  /// @return false with a Python exception set
  [[nodiscard]] bool prepare(const EnvironBase& base, TrustRules rules, PyObject* errors,
                             const pyapi::Gil& gil);
  /// @param into  takes the new dict for Built
  [[nodiscard]] EnvironStatus build(const EnvironRequest& request, pyapi::Ref& into,
                                    const pyapi::Gil& gil);

 private:
  EnvironStatus add_fields(const EnvironRequest& request, PyObject* environ);
  EnvironStatus add_underscored(const http::Field& field, bool trusted, PyObject* environ);
  EnvironStatus apply_scheme(const http::RequestHead& head, PyObject* environ);
  EnvironStatus strip_script_name(PyObject* environ);
  bool has_script_name(const EnvironRequest& request) const;
  bool add_target(const http::RequestHead& head, PyObject* environ);
  static bool add_proxied(const http::ProxyHeader& proxied, PyObject* environ);
  bool add_host_of_unix(const http::RequestHead& head, PyObject* environ);
  bool add_value(PyObject* environ, PyObject* key, std::string_view value, bool may_repeat);
  PyObject* key_of(const http::Field& field);

  struct Hash {  // looks up a string_view without making a string
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  pyapi::Ref base_;
  TrustRules rules_;
  std::uint64_t scheme_sizes_ = 0;  // of the names in secure_scheme_headers, one bit for each
  bool unix_socket_ = false;
  std::string script_name_;
  std::unordered_map<std::string, pyapi::Ref, Hash, std::equal_to<>>
      other_keys_;  // "X-Id" -> "HTTP_X_ID"
};

}  // namespace tricorn::gateway::wsgi
