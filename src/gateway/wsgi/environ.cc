#include "gateway/wsgi/environ.h"

#include <arpa/inet.h>

#include <algorithm>

#include "gateway/wsgi/keys.h"

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

// Names outside the known ones whose keys are kept, so that a client cannot fill memory with new
// ones.
constexpr std::size_t kOtherKeysMax = 1024;

PyObject* latin1(std::string_view text) {
  return PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
}

PyObject* percent_decoded(std::string_view path) {
  if (path.find('%') == std::string_view::npos) return latin1(path);
  return latin1(http::percent_decode(path));
}

std::string cgi_key(std::string_view name) {
  std::string key = "HTTP_";
  for (const char c : name)
    key.push_back(c == '-' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c));
  return key;
}

bool same_letters(std::string_view name, std::string_view upper) {
  return std::equal(name.begin(), name.end(), upper.begin(), [](char a, char b) {
    return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 32) : a) == b;
  });
}

constexpr std::uint64_t size_bit(std::size_t size) { return std::uint64_t{1} << (size % 64); }

inline bool same_name(std::string_view name, std::string_view upper) {
  return name.size() == upper.size() && same_letters(name, upper);
}

bool set(PyObject* dict, PyObject* key, Ref value) {
  return value && PyDict_SetItem(dict, key, value.get()) == 0;
}

// Bytes of the dict, its table included; -1 with an exception.
long size_of(PyObject* dict) {
  const Ref size = Ref::steal(PyObject_CallMethod(dict, "__sizeof__", nullptr));
  return size ? PyLong_AsLong(size.get()) : -1;
}

// A copy has a table as large as its original. This one grows here, once, so that the fields of a
// usual request don't grow every copy.
bool make_room(PyObject* dict) {
  const long before = size_of(dict);
  std::vector<Ref> keys;
  while (before >= 0 && size_of(dict) == before) {
    keys.push_back(Ref::steal(PyUnicode_FromFormat("%zu", keys.size())));
    if (!keys.back() || PyDict_SetItem(dict, keys.back().get(), Py_None) != 0) return false;
  }
  for (const Ref& key : keys) {
    if (PyDict_DelItem(dict, key.get()) != 0) return false;
  }
  return before >= 0 && PyErr_Occurred() == nullptr;
}

bool set_text(PyObject* dict, const char* key, const std::string& value) {
  const Ref text = Ref::steal(latin1(value));
  return text && PyDict_SetItemString(dict, key, text.get()) == 0;
}

}  // namespace

bool Environ::prepare(const EnvironBase& base, TrustRules rules, PyObject* errors, const Gil& gil) {
  rules_ = std::move(rules);
  for (const auto& [name, value] : rules_.secure_scheme_headers)
    scheme_sizes_ |= size_bit(name.size());
  unix_socket_ = base.server_port.empty();
  script_name_ = base.script_name;
  if (!keys_ready(gil)) return false;
  base_ = Ref::steal(PyDict_New());
  PyObject* dict = base_.get();
  const Keys& k = keys();
  const Ref version = Ref::steal(Py_BuildValue("(ii)", 1, 0));
  bool good =
      dict != nullptr && version &&
      PyDict_SetItemString(dict, "wsgi.version", version.get()) == 0 &&
      PyDict_SetItemString(dict, "wsgi.errors", errors) == 0 &&
      PyDict_SetItemString(dict, "wsgi.multithread", base.multithread ? Py_True : Py_False) == 0 &&
      PyDict_SetItemString(dict, "wsgi.multiprocess", base.multiprocess ? Py_True : Py_False) ==
          0 &&
      PyDict_SetItemString(dict, "wsgi.run_once", Py_False) == 0 &&
      PyDict_SetItemString(dict, "wsgi.input_terminated", Py_True) == 0 &&
      PyDict_SetItemString(dict, "wsgi.file_wrapper", file_wrapper_type()) == 0 &&
      set_text(dict, "SERVER_SOFTWARE", base.server_software) &&
      set_text(dict, "SERVER_NAME", base.server_name) &&
      set_text(dict, "SERVER_PORT", base.server_port) &&
      set_text(dict, "SCRIPT_NAME", base.script_name);
  // Keys each request sets have their place already, so that filling them in never grows the copied
  // table.
  for (PyObject* key :
       {k.request_method, k.path_info, k.query_string, k.raw_uri, k.server_protocol, k.remote_addr,
        k.input, k.known[static_cast<std::size_t>(http::KnownField::Host)]}) {
    good = good && PyDict_SetItem(dict, key, k.empty) == 0;
  }
  if (!unix_socket_) good = good && PyDict_SetItem(dict, k.remote_port, k.empty) == 0;
  return good && PyDict_SetItem(dict, k.url_scheme, k.http) == 0 && make_room(dict);
}

EnvironStatus Environ::build(const EnvironRequest& request, Ref& into, const Gil& /*gil*/) {
  into = Ref::steal(PyDict_Copy(base_.get()));
  PyObject* environ = into.get();
  const Keys& k = keys();
  if (environ == nullptr || !add_target(*request.head, environ) ||
      PyDict_SetItem(environ, k.remote_addr, request.remote_addr) != 0 ||
      PyDict_SetItem(environ, k.input, request.input) != 0) {
    return EnvironStatus::Failed;
  }
  if (!unix_socket_ && PyDict_SetItem(environ, k.remote_port, request.remote_port) != 0)
    return EnvironStatus::Failed;
  if (const EnvironStatus status = add_fields(request, environ); status != EnvironStatus::Built)
    return status;
  if (request.trusted && !rules_.secure_scheme_headers.empty()) {
    if (const EnvironStatus status = apply_scheme(*request.head, environ);
        status != EnvironStatus::Built)
      return status;
  }
  if (unix_socket_ && !add_host_of_unix(*request.head, environ)) return EnvironStatus::Failed;
  if (request.proxied != nullptr && !add_proxied(*request.proxied, environ))
    return EnvironStatus::Failed;
  if (has_script_name(request)) return strip_script_name(environ);
  return EnvironStatus::Built;
}

bool Environ::add_target(const http::RequestHead& head, PyObject* environ) {
  const Keys& k = keys();
  PyObject* known_method = k.method[static_cast<std::size_t>(head.method)];
  const bool method = known_method != nullptr
                          ? PyDict_SetItem(environ, k.request_method, known_method) == 0
                          : set(environ, k.request_method, Ref::steal(latin1(head.method_text)));
  if (!method) return false;
  if (head.path == "/") {
    if (PyDict_SetItem(environ, k.path_info, k.root) != 0) return false;
  } else if (!set(environ, k.path_info, Ref::steal(percent_decoded(head.path)))) {
    return false;
  }
  if (head.target == "/") {
    if (PyDict_SetItem(environ, k.raw_uri, k.root) != 0) return false;
  } else if (!set(environ, k.raw_uri, Ref::steal(latin1(head.target)))) {
    return false;
  }
  if (!head.query.empty() && !set(environ, k.query_string, Ref::steal(latin1(head.query))))
    return false;
  return PyDict_SetItem(environ, k.server_protocol,
                        head.version_minor == 0 ? k.http10 : k.http11) == 0;
}

// ---- fields
// ----------------------------------------------------------------------------------------

PyObject* Environ::key_of(const http::Field& field) {
  if (field.known != http::KnownField::Other)
    return keys().known[static_cast<std::size_t>(field.known)];
  const auto found = other_keys_.find(field.name);
  if (found != other_keys_.end()) return found->second.get();
  Ref key = Ref::steal(PyUnicode_InternFromString(cgi_key(field.name).c_str()));
  if (!key) return nullptr;
  if (other_keys_.size() >= kOtherKeysMax) other_keys_.clear();
  PyObject* borrowed = key.get();
  other_keys_.emplace(std::string(field.name), std::move(key));
  return borrowed;
}

// Two fields of one name become one value, joined with a comma: RFC 9110 section 5.3.
bool Environ::add_value(PyObject* environ, PyObject* key, std::string_view value, bool may_repeat) {
  Ref text = Ref::steal(latin1(value));
  if (!text) return false;
  if (may_repeat) {
    PyObject* before = PyDict_GetItemWithError(environ, key);
    if (before != nullptr && PyUnicode_GET_LENGTH(before) > 0) {
      text = Ref::steal(PyUnicode_FromFormat("%U,%U", before, text.get()));
    } else if (before == nullptr && PyErr_Occurred() != nullptr) {
      return false;
    }
  }
  return set(environ, key, std::move(text));
}

EnvironStatus Environ::add_fields(const EnvironRequest& request, PyObject* environ) {
  const http::RequestHead& head = *request.head;
  std::uint64_t seen = 0;  // one bit for each known field
  bool host = false;
  for (const http::Field& field : head.fields) {
    const bool other = field.known == http::KnownField::Other;
    if (other && field.name.find('_') != std::string_view::npos) {
      const EnvironStatus status = add_underscored(field, request.trusted, environ);
      if (status != EnvironStatus::Built) return status;
      continue;
    }
    PyObject* key = key_of(field);
    const std::uint64_t bit = other ? 0 : std::uint64_t{1} << static_cast<unsigned>(field.known);
    const bool is_host = field.known == http::KnownField::Host;
    const std::string_view value =
        is_host && !head.authority.empty() ? head.authority : field.value;
    if (key == nullptr || !add_value(environ, key, value, other || (seen & bit) != 0))
      return EnvironStatus::Failed;
    seen |= bit;
    host |= is_host;
  }
  PyObject* host_key = keys().known[static_cast<std::size_t>(http::KnownField::Host)];
  if (!host && PyDict_DelItem(environ, host_key) != 0) return EnvironStatus::Failed;
  return EnvironStatus::Built;
}

// X_A and X-A share a key, so a client could speak for the proxy in front of us: dropped unless
// allowed.
EnvironStatus Environ::add_underscored(const http::Field& field, bool trusted, PyObject* environ) {
  const bool forwarder =
      trusted &&
      (rules_.forward_all ||
       std::any_of(rules_.forwarder_headers.begin(), rules_.forwarder_headers.end(),
                   [&](const std::string& name) { return same_name(field.name, name); }));
  if (!forwarder && rules_.header_map == HeaderMap::Refuse) return EnvironStatus::ForbiddenHeader;
  if (!forwarder && rules_.header_map == HeaderMap::Drop) return EnvironStatus::Built;
  // SCRIPT_NAME and PATH_INFO from a trusted peer are CGI variables, not HTTP_ ones.
  for (const auto& [name, key] :
       {std::pair{"SCRIPT_NAME", keys().script_name}, {"PATH_INFO", keys().path_info}}) {
    if (forwarder && same_name(field.name, name)) {
      return add_value(environ, key, field.value, false) ? EnvironStatus::Built
                                                         : EnvironStatus::Failed;
    }
  }
  PyObject* key = key_of(field);
  return key != nullptr && add_value(environ, key, field.value, true) ? EnvironStatus::Built
                                                                      : EnvironStatus::Failed;
}

EnvironStatus Environ::apply_scheme(const http::RequestHead& head, PyObject* environ) {
  int secure = -1;
  for (const http::Field& field : head.fields) {
    if ((scheme_sizes_ & size_bit(field.name.size())) == 0) continue;
    for (const auto& [name, value] : rules_.secure_scheme_headers) {
      if (!same_name(field.name, name)) continue;
      const int says = field.value == value ? 1 : 0;
      if (secure >= 0 && secure != says) return EnvironStatus::ContradictoryScheme;
      secure = says;
    }
  }
  if (secure != 1) return EnvironStatus::Built;
  return PyDict_SetItem(environ, keys().url_scheme, keys().https) == 0 ? EnvironStatus::Built
                                                                       : EnvironStatus::Failed;
}

// REMOTE_ADDR and REMOTE_PORT are the source already.
bool Environ::add_proxied(const http::ProxyHeader& proxied, PyObject* environ) {
  char address[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(proxied.ipv6 ? AF_INET6 : AF_INET, proxied.destination.address, address,
              sizeof address);
  return set(environ, keys().proxy_protocol, Ref::steal(latin1(proxied.ipv6 ? "TCP6" : "TCP4"))) &&
         set(environ, keys().proxy_addr, Ref::steal(latin1(address))) &&
         set(environ, keys().proxy_port,
             Ref::steal(latin1(std::to_string(proxied.destination.port))));
}

// A unix socket has no name of its own: SERVER_NAME and SERVER_PORT come from Host, as in Gunicorn.
bool Environ::add_host_of_unix(const http::RequestHead& head, PyObject* environ) {
  const http::Field* field = head.find(http::KnownField::Host);
  const std::string_view host =
      !head.authority.empty() ? head.authority : (field != nullptr ? field->value : "");
  if (host.empty()) return true;
  const std::size_t colon = host.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  const std::string_view port = has_port ? host.substr(colon + 1) : "80";
  return set(environ, keys().server_name,
             Ref::steal(latin1(has_port ? host.substr(0, colon) : host))) &&
         set(environ, keys().server_port, Ref::steal(latin1(port)));
}

bool Environ::has_script_name(const EnvironRequest& request) const {
  if (!script_name_.empty()) return true;
  return request.trusted &&
         std::any_of(request.head->fields.begin(), request.head->fields.end(),
                     [](const http::Field& field) { return same_name(field.name, "SCRIPT_NAME"); });
}

// The application is mounted below SCRIPT_NAME: PATH_INFO is what follows it.
EnvironStatus Environ::strip_script_name(PyObject* environ) {
  PyObject* script = PyDict_GetItemWithError(environ, keys().script_name);
  PyObject* path = PyDict_GetItemWithError(environ, keys().path_info);
  if (script == nullptr || path == nullptr) return EnvironStatus::Failed;
  if (PyUnicode_GET_LENGTH(script) == 0) return EnvironStatus::Built;
  const Py_ssize_t starts = PyUnicode_Tailmatch(path, script, 0, PY_SSIZE_T_MAX, -1);
  if (starts < 0) return EnvironStatus::Failed;
  if (starts == 0) return EnvironStatus::ScriptNameMismatch;
  Ref rest = Ref::steal(PyUnicode_Substring(path, PyUnicode_GET_LENGTH(script), PY_SSIZE_T_MAX));
  return set(environ, keys().path_info, std::move(rest)) ? EnvironStatus::Built
                                                         : EnvironStatus::Failed;
}

}  // namespace tricorn::gateway::wsgi
