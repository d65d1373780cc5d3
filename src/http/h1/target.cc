#include "http/h1/target.h"

#include <algorithm>

#include "http/h1/scan.h"

namespace tricorn::http::h1 {
namespace {

// unreserved, sub-delims and '%' of an escape. Source: RFC 3986 sections 2.2, 2.3, 3.2.2.
constexpr ByteSet kRegName = alphanumeric_and("-._~!$&'()*+,;=%");
constexpr ByteSet kScheme = alphanumeric_and("+-.");

bool all_in(const ByteSet& set, std::string_view text) {
  const char* const end = text.data() + text.size();
  return skip(set, text.data(), end) == end;
}

bool valid_port(std::string_view port) { return std::all_of(port.begin(), port.end(), is_digit); }

// "[...]" with an optional port. What is inside is checked by its letters only: nobody here
// connects to it.
bool valid_bracketed(std::string_view host) {
  const std::size_t close = host.find(']');
  if (close == std::string_view::npos || close < 3) return false;
  const std::string_view address = host.substr(1, close - 1);
  const bool good = std::all_of(address.begin(), address.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
  });
  const std::string_view rest = host.substr(close + 1);
  return good && (rest.empty() || (rest.front() == ':' && valid_port(rest.substr(1))));
}

void split_query(RequestHead& head, std::string_view path_and_query) {
  const std::size_t question = path_and_query.find('?');
  head.path = path_and_query.substr(0, question);
  if (question != std::string_view::npos) head.query = path_and_query.substr(question + 1);
}

// RFC 9112 section 3.2.3: host and port, both there. RFC 9110 section 9.3.6 refuses an empty port.
bool authority_form(RequestHead& head) {
  const std::string_view target = head.target;
  const std::size_t colon = target.rfind(':');
  head.path = target;
  return colon != std::string_view::npos && colon > 0 && colon + 1 < target.size() &&
         target.back() != ']' && valid_host(target);
}

// RFC 9112 section 3.2.2: the authority replaces Host; an empty one is refused (RFC 9110
// section 4.2.1).
bool absolute_form(RequestHead& head) {
  std::string_view rest = head.target;
  const std::size_t scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos || scheme_end == 0) return false;
  const char first = static_cast<char>(rest.front() | 0x20);
  if (first < 'a' || first > 'z' || !all_in(kScheme, rest.substr(0, scheme_end))) return false;
  rest.remove_prefix(scheme_end + 3);
  const std::size_t path_at = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = rest.substr(0, path_at);
  if (head.authority.empty() || head.authority.front() == ':' || !valid_host(head.authority))
    return false;
  split_query(head, rest.substr(path_at));
  if (head.path.empty())
    head.path = head.method == Method::Options && head.query.empty() ? "*" : "/";
  return true;
}

}  // namespace

bool valid_host(std::string_view host) {
  if (!host.empty() && host.front() == '[') return valid_bracketed(host);
  const char* const end = host.data() + host.size();
  const char* const name_end = skip(kRegName, host.data(), end);
  if (name_end == end) return true;
  return *name_end == ':' &&
         valid_port({name_end + 1, static_cast<std::size_t>(end - name_end - 1)});
}

bool split_any_target(RequestHead& head, const TargetScan& scan) {
  if (head.method == Method::Connect) return authority_form(head);
  if (scan.fragment) return false;  // never sent: RFC 9110 section 7.1
  if (head.target == "*") {
    head.path = head.target;
    return head.method == Method::Options;
  }
  return absolute_form(head);
}

}  // namespace tricorn::http::h1
