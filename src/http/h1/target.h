// The request target and the authority: RFC 9112 section 3.2, RFC 3986.
#pragma once

#include <string_view>

#include "http/h1/scan.h"
#include "http/message.h"

namespace tricorn::http::h1 {

/// uri-host [":" port]: registered name, IPv4 address or "[" IPv6 address "]", no user information.
/// Empty is valid. Source: RFC 9110 section 7.2, RFC 3986 section 3.2.2.
[[nodiscard]] bool valid_host(std::string_view host);

/// Fills path, query and authority of any form of target.
/// @return false when the target has not the form its method asks for
[[nodiscard]] bool split_any_target(RequestHead& head, const TargetScan& scan);

/// Fills path, query and authority from method and target.
/// @param head  its target is not empty
/// @param scan  of that target
/// @return false when the target has not the form its method asks for
[[nodiscard]] inline bool split_target(RequestHead& head, const TargetScan& scan) {
  const bool origin_form =
      head.target.front() == '/' && !scan.fragment && head.method != Method::Connect;
  if (!origin_form) return split_any_target(head, scan);
  head.path = head.target;
  if (scan.question != nullptr) {
    const auto path_bytes = static_cast<std::size_t>(scan.question - head.target.data());
    head.path = head.target.substr(0, path_bytes);
    head.query = head.target.substr(path_bytes + 1);
  }
  return true;
}

}  // namespace tricorn::http::h1
