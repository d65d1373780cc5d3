// Which peers may speak for others: forwarded_allow_ips, proxy_allow_ips.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "heartbeat/recorder.h"
#include "http/proxy_header.h"

namespace tricorn::worker {

/// A set of addresses and networks.
class TrustedPeers {
 public:
  /// @param list  comma-separated addresses, CIDR networks or "*", as validated by config
  /// @param setting  its name, for the error
  base::Result<void> parse(std::string_view setting, std::string_view list);
  /// Unix sockets are always trusted, as in Gunicorn.
  [[nodiscard]] bool contains(const heartbeat::Client& client) const;

 private:
  struct Network {
    std::uint16_t family;
    std::uint8_t address[16];
    int bits;
  };
  bool all_ = false;
  std::vector<Network> networks_;
};

/// Whether and from whom a PROXY header is taken.
struct ProxyRules {
  http::ProxyMode mode = http::ProxyMode::Off;
  TrustedPeers from;
};

}  // namespace tricorn::worker
