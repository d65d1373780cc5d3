#include "heartbeat/recorder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace tricorn::heartbeat {

std::string text_of(const Client& client) {
  char text[INET6_ADDRSTRLEN] = "";
  if (client.family != AF_UNIX) ::inet_ntop(client.family, client.address, text, sizeof text);
  return text;
}
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

void write_text(Slot& slot, std::string_view method, std::string_view path) {
  const std::size_t method_bytes = std::min<std::size_t>(method.size(), 32);
  const std::size_t path_bytes = std::min(path.size(), kRequestBytesMax - method_bytes - 1);
  if (method.data() + method_bytes + 1 == path.data()) {  // as the request line has it
    std::memcpy(slot.request, method.data(), method_bytes + 1 + path_bytes);
  } else {
    std::memcpy(slot.request, method.data(), method_bytes);
    slot.request[method_bytes] = ' ';
    std::memcpy(slot.request + method_bytes + 1, path.data(), path_bytes);
  }
  slot.method_bytes = static_cast<std::uint16_t>(method_bytes);
  slot.request_bytes = static_cast<std::uint16_t>(method_bytes + 1 + path_bytes);
}

}  // namespace

void begin_request(Slot& slot, std::string_view method, std::string_view path, int connection_fd,
                   const Client& client, std::int64_t now_ns) {
  if constexpr (!kRecording) return;
  // Odd sequence first, fields next, even last: on x86 plain stores in this order; the fence is for
  // others.
  const std::uint32_t sequence = slot.sequence.load(kRelaxed);
  slot.sequence.store(sequence + 1, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  write_text(slot, method, path);
  slot.client_family = client.family;
  slot.client_port = client.port;
  std::memcpy(slot.client_address, client.address, sizeof slot.client_address);
  slot.connection_fd.store(connection_fd, kRelaxed);
  slot.bytes_in.store(0, kRelaxed);
  slot.bytes_out.store(0, kRelaxed);
  slot.request_id.store(slot.request_id.load(kRelaxed) + 1, kRelaxed);
  slot.phase.store(Phase::Application, kRelaxed);
  slot.progress_ns.store(now_ns, kRelaxed);
  slot.claim.store(Claim::Pending, kRelaxed);
  slot.started_ns.store(now_ns, kRelaxed);
  slot.sequence.store(sequence + 2, std::memory_order_release);
}

bool end_request(Slot& slot) {
  if constexpr (!kRecording) return true;
  slot.started_ns.store(0, kRelaxed);
  slot.progress_ns.store(0, kRelaxed);
  slot.phase.store(Phase::Idle, kRelaxed);
  return slot.claim.exchange(Claim::None, std::memory_order_acq_rel) != Claim::Farewell;
}

}  // namespace tricorn::heartbeat
