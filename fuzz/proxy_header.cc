// PROXY headers: the same however they are cut, and never more than what is there.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "http/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tricorn::http;
  if (size == 0) return 0;
  const auto mode = static_cast<ProxyMode>(data[0] % 4);
  const std::string whole(reinterpret_cast<const char*>(data) + 1, size - 1);
  ProxyHeader at_once;
  const ProxyStatus expected = read_proxy_header(whole, mode, at_once);
  TRICORN_CHECK(expected != ProxyStatus::Done || at_once.bytes <= whole.size());
  TRICORN_CHECK(expected != ProxyStatus::NeedMore || whole.size() < kProxyBytesMax);
  TRICORN_CHECK(expected != ProxyStatus::Invalid || !at_once.fault.empty());
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    ProxyHeader header;
    const ProxyStatus status = read_proxy_header(whole.substr(0, cut), mode, header);
    if (status == ProxyStatus::NeedMore) continue;
    TRICORN_CHECK(status == expected && header.bytes == at_once.bytes);
  }
  return 0;
}
