// The request target and the authority: RFC 9112 section 3.2, RFC 3986.
#pragma once

#include <string_view>

#include "http/message.h"

namespace tricorn::http::h1 {

/// uri-host [":" port]: registered name, IPv4 address or "[" IPv6 address "]", no user information.
/// Empty is valid. Source: RFC 9110 section 7.2, RFC 3986 section 3.2.2.
[[nodiscard]] bool valid_host(std::string_view host);

/// Fills path, query and authority from method and target.
/// @param head  its target is of visible ASCII and not empty
/// @return false when the target has not the form its method asks for
[[nodiscard]] bool split_target(RequestHead& head);

}  // namespace tricorn::http::h1
