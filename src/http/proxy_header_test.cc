#include "http/proxy_header.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>

namespace tricorn::http {
namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string v2(char version_command, char family, const std::string& block) {
  const auto length = static_cast<unsigned>(block.size());
  return kSignature + version_command + family + static_cast<char>(length >> 8) +
         static_cast<char>(length & 0xFF) + block;
}

const std::string kInet("\x0a\x01\x02\x03\x7f\x00\x00\x01\xdc\x04\x01\xbb", 12);

std::string shown(const ProxyEndpoint& end, bool ipv6) {
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(ipv6 ? AF_INET6 : AF_INET, end.address, text, sizeof text);
  return std::string(text) + " " + std::to_string(end.port);
}

/// One word for the outcome, the same whether the bytes come at once or one at a time.
std::string outcome(const std::string& bytes, ProxyMode mode = ProxyMode::Auto) {
  ProxyHeader header;
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const std::string part = bytes.substr(0, size);  // a copy, so that reading beyond it is seen
    const ProxyStatus status = read_proxy_header(part, mode, header);
    if (status == ProxyStatus::NeedMore) continue;
    if (status == ProxyStatus::Absent) return "absent";
    if (status == ProxyStatus::Invalid) return "invalid";
    EXPECT_EQ(header.bytes, size) << "it needs no byte beyond its own";
    if (!header.known) return "own";
    return shown(header.source, header.ipv6) + " > " + shown(header.destination, header.ipv6);
  }
  return "more";
}

struct Row {
  const char* name;
  std::string bytes;
  std::string expected;
};

class ProxyHeaders : public testing::TestWithParam<Row> {};

TEST_P(ProxyHeaders, AreRead) { EXPECT_EQ(outcome(GetParam().bytes), GetParam().expected); }

const Row kRows[] = {
    {"tcp4", "PROXY TCP4 10.1.2.3 127.0.0.1 56324 443\r\n", "10.1.2.3 56324 > 127.0.0.1 443"},
    {"tcp6", "PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "2001:db8::1 56324 > ::1 443"},
    {"unknown", "PROXY UNKNOWN\r\n", "own"},
    {"unknown_with_ends", "PROXY UNKNOWN ff::1 ff::2 1 2\r\n", "own"},
    {"a_request", "GET / HTTP/1.1\r\n", "absent"},
    {"a_post", "POST / HTTP/1.1\r\n", "absent"},
    {"a_method_like_it", "PROXYING / HTTP/1.1\r\n", "absent"},
    {"only_the_start", "PROX", "more"},
    {"lower_case", "proxy TCP4 1.1.1.1 1.1.1.1 1 2\r\n", "absent"},
    {"wrong_family", "PROXY TCP5 10.1.2.3 127.0.0.1 56324 443\r\n", "invalid"},
    {"family_mixed", "PROXY TCP4 ::1 127.0.0.1 56324 443\r\n", "invalid"},
    {"port_too_large", "PROXY TCP4 10.1.2.3 127.0.0.1 65536 443\r\n", "invalid"},
    {"port_padded", "PROXY TCP4 10.1.2.3 127.0.0.1 056 443\r\n", "invalid"},
    {"port_signed", "PROXY TCP4 10.1.2.3 127.0.0.1 -1 443\r\n", "invalid"},
    {"port_missing", "PROXY TCP4 10.1.2.3 127.0.0.1 56324\r\n", "invalid"},
    {"one_word_more", "PROXY TCP4 10.1.2.3 127.0.0.1 56324 443 1\r\n", "invalid"},
    {"two_spaces", "PROXY TCP4  10.1.2.3 127.0.0.1 56324 443\r\n", "invalid"},
    {"bare_lf", "PROXY TCP4 10.1.2.3 127.0.0.1 56324 443\n" + std::string(100, 'x'), "invalid"},
    {"too_long", "PROXY UNKNOWN " + std::string(100, 'x'), "invalid"},
    {"v2_inet", v2('\x21', '\x11', kInet), "10.1.2.3 56324 > 127.0.0.1 443"},
    {"v2_inet_with_tlv", v2('\x21', '\x11', kInet + std::string("\x04\x00\x01x", 4)),
     "10.1.2.3 56324 > 127.0.0.1 443"},
    {"v2_inet6",
     v2('\x21', '\x21', std::string(31, '\0') + "\x01" + std::string("\0\x01\0\x02", 4)),
     ":: 1 > ::1 2"},
    {"v2_local", v2('\x20', '\0', ""), "own"},
    {"v2_local_with_ends", v2('\x20', '\x11', kInet), "own"},
    {"v2_unspec", v2('\x21', '\0', "abc"), "own"},
    {"v2_unix", v2('\x21', '\x31', std::string(216, 'a')), "own"},
    {"v2_datagram", v2('\x21', '\x12', kInet), "invalid"},
    {"v2_too_short", v2('\x21', '\x11', kInet.substr(1)), "invalid"},
    {"v2_version_3", v2('\x31', '\x11', kInet), "invalid"},
    {"v2_command_2", v2('\x22', '\x11', kInet), "invalid"},
    {"v2_family_4", v2('\x21', '\x41', kInet), "invalid"},
    {"v2_too_long", v2('\x21', '\x11', std::string(5000, 'x')), "invalid"},
};
INSTANTIATE_TEST_SUITE_P(Proxy, ProxyHeaders, testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ProxyHeader, AModeReadsItsOwnVersionOnly) {
  const std::string line = "PROXY TCP4 10.1.2.3 127.0.0.1 56324 443\r\n";
  const std::string block = v2('\x21', '\x11', kInet);
  EXPECT_EQ(outcome(line, ProxyMode::V2), "absent");
  EXPECT_EQ(outcome(block, ProxyMode::V1), "absent");
  EXPECT_EQ(outcome(line, ProxyMode::Off), "absent");
  EXPECT_NE(outcome(line, ProxyMode::V1), "absent");
  EXPECT_NE(outcome(block, ProxyMode::V2), "absent");
}

}  // namespace
}  // namespace tricorn::http
