#include "heartbeat/recorder.h"

#include <algorithm>
#include <cstring>

namespace tricorn::heartbeat {

void write_request(Slot& slot, const std::string_view& method, const std::string_view& path) {
  const std::size_t method_bytes = std::min<std::size_t>(method.size(), 32);
  const std::size_t path_bytes = std::min(path.size(), kRequestBytesMax - method_bytes - 1);
  std::memcpy(slot.request, method.data(), method_bytes);
  slot.request[method_bytes] = ' ';
  std::memcpy(slot.request + method_bytes + 1, path.data(), path_bytes);
  slot.method_bytes = static_cast<std::uint16_t>(method_bytes);
  slot.request_bytes = static_cast<std::uint16_t>(method_bytes + 1 + path_bytes);
}

}  // namespace tricorn::heartbeat
