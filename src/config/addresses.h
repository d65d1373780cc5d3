// Addresses and networks as Python's ipaddress module accepts them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tricorn::config {

/// Accepts an IPv4 or IPv6 address, or a network without host bits.
/// @return `text`, a dotted mask replaced by the number of its bits: "10.0.0.0/255.0.0.0" gives
///         "10.0.0.0/8"; Error in the words of ipaddress.ip_network()
/// Source: Python library reference, ipaddress.ip_network(strict=True).
[[nodiscard]] base::Result<std::string> network_from(std::string_view text);

}  // namespace tricorn::config
