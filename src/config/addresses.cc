#include "config/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>

#include "config/python_text.h"

namespace tricorn::config {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

struct Network {
  Bytes address{};
  unsigned prefix = 0;  // bits
  unsigned width = 0;   // bits of the whole address, 32 or 128
};

std::optional<unsigned> prefix_from(std::string_view text, unsigned most) {
  if (text.empty() || text.size() > 3) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto prefix = static_cast<unsigned>(std::stoul(std::string(text)));
  return prefix <= most ? std::optional(prefix) : std::nullopt;
}

// 255.255.0.0 or, the other way round, 0.0.255.255.
std::optional<unsigned> prefix_from_mask(const std::string& text) {
  in_addr mask;
  if (::inet_pton(AF_INET, text.c_str(), &mask) != 1) return std::nullopt;
  const std::uint32_t bits = ntohl(mask.s_addr);
  for (const std::uint32_t ones : {bits, ~bits}) {
    const auto leading = static_cast<unsigned>(std::countl_one(ones));
    if (static_cast<unsigned>(std::popcount(ones)) == leading) return leading;
  }
  return std::nullopt;
}

std::optional<Network> ipv4(const std::string& address, std::optional<std::string_view> mask) {
  Network network{{}, 32, 32};
  if (::inet_pton(AF_INET, address.c_str(), network.address.data()) != 1) return std::nullopt;
  if (!mask) return network;
  auto prefix = prefix_from(*mask, 32);
  if (!prefix) prefix = prefix_from_mask(std::string(*mask));
  if (!prefix) return std::nullopt;
  network.prefix = *prefix;
  return network;
}

std::optional<Network> ipv6(std::string address, std::optional<std::string_view> mask) {
  Network network{{}, 128, 128};
  if (const std::size_t percent = address.find('%'); percent != std::string::npos) {
    const bool named =
        percent + 1 < address.size() && address.find('%', percent + 1) == std::string::npos;
    if (!named) return std::nullopt;
    address.resize(percent);
  }
  if (::inet_pton(AF_INET6, address.c_str(), network.address.data()) != 1) return std::nullopt;
  if (!mask) return network;
  const auto prefix = prefix_from(*mask, 128);
  if (!prefix) return std::nullopt;
  network.prefix = *prefix;
  return network;
}

bool has_host_bits(const Network& network) {
  for (unsigned bit = network.prefix; bit < network.width; ++bit) {
    if ((network.address[bit / 8] >> (7 - bit % 8) & 1) != 0) return true;
  }
  return false;
}

}  // namespace

base::Result<std::string> network_from(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  std::optional<std::string_view> mask;
  if (slash != std::string_view::npos) mask = text.substr(slash + 1);
  auto network = ipv4(address, mask);
  if (!network) network = ipv6(address, mask);
  if (!network) {
    return base::fail(
        fmt::format("{} does not appear to be an IPv4 or IPv6 network", python_quoted(text)));
  }
  if (has_host_bits(*network)) return base::fail(fmt::format("{} has host bits set", text));
  const bool dotted = mask && network->width == 32 && mask->find('.') != std::string_view::npos;
  return dotted ? fmt::format("{}/{}", address, network->prefix) : std::string(text);
}

}  // namespace tricorn::config
