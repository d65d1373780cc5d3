#include "http/proxy_header.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace tricorn::http {
namespace {

constexpr std::string_view kV1Prefix = "PROXY ";
constexpr std::size_t kV1BytesMax = 107;  // section 2.1, CRLF included
constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2HeadBytes = 16;

/// How far `bytes` may be the start of something that begins with `prefix`.
ProxyStatus compare(std::string_view bytes, std::string_view prefix) {
  const std::size_t both = std::min(bytes.size(), prefix.size());
  if (bytes.substr(0, both) != prefix.substr(0, both)) return ProxyStatus::Absent;
  return bytes.size() < prefix.size() ? ProxyStatus::NeedMore : ProxyStatus::Done;
}

ProxyStatus invalid(ProxyHeader& into, std::string fault) {
  into.fault = std::move(fault);
  return ProxyStatus::Invalid;
}

// ---- version 1
// -------------------------------------------------------------------------------------

/// Cuts the next word off, up to a single space or the end.
std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool read_address(std::string_view word, bool ipv6, ProxyEndpoint& into) {
  return ::inet_pton(ipv6 ? AF_INET6 : AF_INET, std::string(word).c_str(), into.address) == 1;
}

bool read_port(std::string_view word, ProxyEndpoint& into) {
  const bool padded = word.size() > 1 && word[0] == '0';
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), into.port);
  return !padded && parsed.ec == std::errc{} && parsed.ptr == word.data() + word.size();
}

bool read_v1_line(std::string_view line, ProxyHeader& into) {
  const std::string_view family = take_word(line);
  if (family == "UNKNOWN") return true;  // whatever follows counts for nothing
  into.ipv6 = family == "TCP6";
  if (family != "TCP4" && family != "TCP6") return false;
  const bool addresses = read_address(take_word(line), into.ipv6, into.source) &&
                         read_address(take_word(line), into.ipv6, into.destination);
  const bool source_port = addresses && read_port(take_word(line), into.source);
  into.known =
      source_port && line.find(' ') == std::string_view::npos && read_port(line, into.destination);
  return into.known;
}

ProxyStatus read_v1(std::string_view bytes, ProxyHeader& into) {
  const std::string_view reach = bytes.substr(0, kV1BytesMax);
  const std::size_t end = reach.find("\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() < kV1BytesMax) return ProxyStatus::NeedMore;
    return invalid(into, "Invalid PROXY line: it does not end within 107 bytes");
  }
  const std::string_view line = reach.substr(kV1Prefix.size(), end - kV1Prefix.size());
  if (!read_v1_line(line, into)) return invalid(into, "Invalid PROXY line");
  into.bytes = end + 2;
  return ProxyStatus::Done;
}

// ---- version 2
// -------------------------------------------------------------------------------------

/// Addresses of `size` bytes each, then the ports, in network order. Section 2.2.
void read_v2_ends(const char* block, std::size_t size, ProxyHeader& into) {
  const auto port_at = [block](std::size_t at) {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(block[at]) << 8 |
                                      static_cast<unsigned char>(block[at + 1]));
  };
  std::memcpy(into.source.address, block, size);
  std::memcpy(into.destination.address, block + size, size);
  into.source.port = port_at(2 * size);
  into.destination.port = port_at(2 * size + 2);
}

ProxyStatus read_v2(std::string_view bytes, ProxyHeader& into) {
  if (bytes.size() < kV2HeadBytes) return ProxyStatus::NeedMore;
  const auto byte = [bytes](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  const std::size_t length = static_cast<std::size_t>(byte(14)) << 8 | byte(15);
  const unsigned version = byte(12) >> 4;
  const unsigned command = byte(12) & 0xF;
  const unsigned family = byte(13) >> 4;
  const unsigned transport = byte(13) & 0xF;
  if (version != 2) return invalid(into, "Invalid PROXY header: version is not 2");
  if (command > 1) return invalid(into, "Invalid PROXY header: unknown command");
  if (family > 3 || transport > 2) return invalid(into, "Invalid PROXY header: unknown family");
  if (kV2HeadBytes + length > kProxyBytesMax)
    return invalid(into, "Invalid PROXY header: longer than 4096 bytes");
  const bool ip = command == 1 && (family == 1 || family == 2);
  if (ip && transport != 1) return invalid(into, "Invalid PROXY header: not a stream");
  const std::size_t size = family == 1 ? 4 : 16;
  if (ip && length < 2 * size + 4) return invalid(into, "Invalid PROXY header: too short");
  if (bytes.size() < kV2HeadBytes + length) return ProxyStatus::NeedMore;
  into.known = ip;
  into.ipv6 = family == 2;
  if (ip) read_v2_ends(bytes.data() + kV2HeadBytes, size, into);
  into.bytes = kV2HeadBytes + length;
  return ProxyStatus::Done;
}

}  // namespace

ProxyStatus read_proxy_header(std::string_view bytes, ProxyMode mode, ProxyHeader& into) {
  into = {};
  ProxyStatus best = ProxyStatus::Absent;
  if (mode == ProxyMode::V1 || mode == ProxyMode::Auto) {
    best = compare(bytes, kV1Prefix);
    if (best == ProxyStatus::Done) return read_v1(bytes, into);
  }
  if (best == ProxyStatus::Absent && (mode == ProxyMode::V2 || mode == ProxyMode::Auto)) {
    best = compare(bytes, kV2Signature);
    if (best == ProxyStatus::Done) return read_v2(bytes, into);
  }
  return best;
}

}  // namespace tricorn::http
