#include "gateway/wsgi/keys.h"

#include <string>
#include <utility>

namespace tricorn::gateway::wsgi {
namespace {

Keys g_keys{};

std::string cgi_name(http::KnownField known) {
  if (known == http::KnownField::ContentType) return "CONTENT_TYPE";
  if (known == http::KnownField::ContentLength) return "CONTENT_LENGTH";
  std::string key = "HTTP_";
  for (const char c : http::name_of(known)) {
    key.push_back(c == '-' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c));
  }
  return key;
}

}  // namespace

bool keys_ready(const pyapi::Gil& /*gil*/) {
  if (g_keys.empty != nullptr) return true;
  bool good = true;
  const auto make = [&good](const char* text) {
    PyObject* made = PyUnicode_InternFromString(text);
    good = good && made != nullptr;
    return made;
  };
  Keys& k = g_keys;
  const std::pair<PyObject**, const char*> all[] = {
      {&k.request_method, "REQUEST_METHOD"},
      {&k.path_info, "PATH_INFO"},
      {&k.query_string, "QUERY_STRING"},
      {&k.raw_uri, "RAW_URI"},
      {&k.server_protocol, "SERVER_PROTOCOL"},
      {&k.remote_addr, "REMOTE_ADDR"},
      {&k.remote_port, "REMOTE_PORT"},
      {&k.proxy_protocol, "PROXY_PROTOCOL"},
      {&k.proxy_addr, "PROXY_ADDR"},
      {&k.proxy_port, "PROXY_PORT"},
      {&k.input, "wsgi.input"},
      {&k.url_scheme, "wsgi.url_scheme"},
      {&k.script_name, "SCRIPT_NAME"},
      {&k.server_name, "SERVER_NAME"},
      {&k.server_port, "SERVER_PORT"},
      {&k.root, "/"},
      {&k.http, "http"},
      {&k.https, "https"},
      {&k.http10, "HTTP/1.0"},
      {&k.http11, "HTTP/1.1"},
      {&k.empty, ""},
  };
  for (const auto& [place, text] : all) *place = make(text);
  const char* methods[] = {"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                           "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  for (std::size_t i = 0; i < 9; ++i) k.method[i] = make(methods[i]);
  for (std::size_t i = 0; i < http::kKnownFields; ++i) {
    k.known[i] = make(cgi_name(static_cast<http::KnownField>(i)).c_str());
  }
  return good;
}

const Keys& keys() { return g_keys; }

}  // namespace tricorn::gateway::wsgi
