#include "worker/trust.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace tricorn::worker {
namespace {

bool same_prefix(const std::uint8_t* a, const std::uint8_t* b, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (std::memcmp(a, b, whole) != 0) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (a[whole] & mask) == (b[whole] & mask);
}

}  // namespace

base::Result<void> TrustedPeers::parse(std::string_view setting, std::string_view list) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string item(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    std::erase_if(item, [](char c) { return c == ' ' || c == '\t'; });
    if (item.empty()) continue;
    if (item == "*") {
      all_ = true;
      continue;
    }
    const std::size_t slash = item.find('/');
    const std::string host = item.substr(0, slash);
    Network network{};
    network.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const int most = network.family == AF_INET ? 32 : 128;
    network.bits = slash == std::string::npos ? most : std::atoi(item.c_str() + slash + 1);
    const bool good = ::inet_pton(network.family, host.c_str(), network.address) == 1;
    if (!good || network.bits < 0 || network.bits > most) {
      return base::fail(std::string(setting) + ": '" + item + "' is no address or network");
    }
    networks_.push_back(network);
  }
  return {};
}

bool TrustedPeers::contains(const heartbeat::Client& client) const {
  if (all_ || client.family == AF_UNIX) return true;
  return std::any_of(networks_.begin(), networks_.end(), [&client](const Network& network) {
    return network.family == client.family &&
           same_prefix(network.address, client.address, network.bits);
  });
}

}  // namespace tricorn::worker
