// The PROXY protocol: who is behind the proxy, said before the first request of a connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tricorn::http {

/// Which versions are read. [proxy_protocol]
enum class ProxyMode { Off, V1, V2, Auto };

/// One end of the original connection.
struct ProxyEndpoint {
  std::uint16_t port = 0;
  std::uint8_t address[16] = {};  ///< network order; 4 bytes used for IPv4
};

struct ProxyHeader {
  bool known = false;  ///< false: UNKNOWN, LOCAL or UNSPEC; the connection's own ends count
  bool ipv6 = false;
  ProxyEndpoint source;
  ProxyEndpoint destination;
  std::size_t bytes = 0;  ///< length of the header
  std::string fault;      ///< after Invalid: what is wrong, in Gunicorn's words
};

enum class ProxyStatus {
  Absent,    ///< the bytes begin with something else
  NeedMore,  ///< so far it can be one
  Done,
  Invalid,
};

/// Reads the header at the start of `bytes`, which grow from call to call; keeps nothing between
/// calls. Never looks beyond kProxyBytesMax. Source: HAProxy's proxy-protocol.txt, sections 2.1
/// and 2.2.
[[nodiscard]] ProxyStatus read_proxy_header(std::string_view bytes, ProxyMode mode,
                                            ProxyHeader& into);

/// Longest header: a version 2 block with its TLVs. Ours; the specification asks for 232 at least.
inline constexpr std::size_t kProxyBytesMax = 4096;

}  // namespace tricorn::http
