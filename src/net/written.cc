#include "net/written.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

namespace tricorn::net {
namespace {

// Acknowledgements may come between the two questions; then they are asked again.
constexpr int kTries = 8;

bool acknowledged(int fd, std::uint64_t& bytes) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  bytes = info.tcpi_bytes_acked;
  return size >= offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked;
}

}  // namespace

std::optional<std::uint64_t> bytes_written(int fd) {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  int waiting = 0;
  for (int i = 0; i < kTries; ++i) {
    if (!acknowledged(fd, before) || ::ioctl(fd, SIOCOUTQ, &waiting) != 0) return std::nullopt;
    if (!acknowledged(fd, after)) return std::nullopt;
    if (before == after) return after + static_cast<std::uint64_t>(waiting);
  }
  return std::nullopt;
}

}  // namespace tricorn::net
