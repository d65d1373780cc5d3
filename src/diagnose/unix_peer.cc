#include "diagnose/unix_peer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/unique_fd.h"

namespace tricorn::diagnose {
namespace {

struct Request {
  nlmsghdr header;
  unix_diag_req body;
};

/// What the kernel says of one socket.
struct UnixSocket {
  std::uint32_t peer = 0;  ///< inode
  std::string name;
  std::vector<std::uint32_t> pending;  ///< of a listener: sockets whose connections wait for accept
};

/// @param inode  0: all listeners
bool ask(int netlink, std::uint32_t inode) {
  constexpr std::uint32_t kListen = 10;  // TCP_LISTEN, which unix sockets use too
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | (inode == 0 ? NLM_F_DUMP : 0);
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = inode == 0 ? 1U << kListen : UINT32_MAX;
  request.body.udiag_ino = inode;
  request.body.udiag_show =
      inode == 0 ? UDIAG_SHOW_NAME | UDIAG_SHOW_ICONS : UDIAG_SHOW_PEER | UDIAG_SHOW_NAME;
  request.body.udiag_cookie[0] = request.body.udiag_cookie[1] =
      UINT32_MAX;  // any: INET_DIAG_NOCOOKIE
  return ::send(netlink, &request, sizeof request, 0) == static_cast<ssize_t>(sizeof request);
}

std::string name_from(const char* data, std::size_t bytes) {
  if (bytes == 0) return {};
  if (data[0] == '\0') return "@" + std::string(data + 1, bytes - 1);
  return std::string(data, ::strnlen(data, bytes));
}

UnixSocket parse_answer(const char* answer, std::size_t bytes) {
  UnixSocket found;
  std::size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(unix_diag_msg));
  while (at + sizeof(rtattr) <= bytes) {
    rtattr attribute;
    std::memcpy(&attribute, answer + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > bytes) break;
    const char* payload = answer + at + RTA_LENGTH(0);
    const std::size_t size = attribute.rta_len - RTA_LENGTH(0);
    if (attribute.rta_type == UNIX_DIAG_PEER && size >= 4) std::memcpy(&found.peer, payload, 4);
    if (attribute.rta_type == UNIX_DIAG_NAME) found.name = name_from(payload, size);
    if (attribute.rta_type == UNIX_DIAG_ICONS) {
      found.pending.resize(size / sizeof(std::uint32_t));
      std::memcpy(found.pending.data(), payload, found.pending.size() * sizeof(std::uint32_t));
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return found;
}

base::UniqueFd open_netlink() {
  return base::UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

std::optional<UnixSocket> look_up(int netlink, std::uint32_t inode) {
  alignas(nlmsghdr) char answer[1024];
  if (!ask(netlink, inode)) return std::nullopt;
  // The kernel answers within send(2), so there is nothing to wait for.
  const ssize_t got = ::recv(netlink, answer, sizeof answer, MSG_DONTWAIT);
  nlmsghdr header;
  if (got < static_cast<ssize_t>(sizeof header)) return std::nullopt;
  std::memcpy(&header, answer, sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return std::nullopt;
  return parse_answer(answer, static_cast<std::size_t>(got));
}

/// Name of the listener that one message of a dump is about, if the socket waits there.
std::string name_if_pending(const char* message, std::size_t bytes, std::uint32_t inode) {
  const UnixSocket listener = parse_answer(message, bytes);
  const auto& pending = listener.pending;
  return std::find(pending.begin(), pending.end(), inode) == pending.end() ? "" : listener.name;
}

/// The listener in whose backlog a socket's connection waits; empty: none.
std::string listener_of(std::uint32_t inode) {
  constexpr int kReadsMax = 64;  // 16 KiB each: thousands of listeners
  const base::UniqueFd netlink = open_netlink();
  alignas(nlmsghdr) static thread_local char answer[16 * 1024];
  if (!netlink.valid() || !ask(netlink.get(), 0)) return {};
  for (int reads = 0; reads < kReadsMax; ++reads) {
    const ssize_t got = ::recv(netlink.get(), answer, sizeof answer, MSG_DONTWAIT);
    std::size_t at = 0;
    while (got > 0 && at + sizeof(nlmsghdr) <= static_cast<std::size_t>(got)) {
      nlmsghdr header;
      std::memcpy(&header, answer + at, sizeof header);
      const std::size_t size = header.nlmsg_len;
      if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || size < sizeof header ||
          at + size > static_cast<std::size_t>(got))
        return {};
      if (auto name = name_if_pending(answer + at, size, inode); !name.empty()) return name;
      at += NLMSG_ALIGN(size);
    }
    if (got <= 0) return {};
  }
  return {};
}

}  // namespace

UnixPeer unix_peer(std::uint64_t inode) {
  const base::UniqueFd netlink = open_netlink();
  if (!netlink.valid()) return {};
  const auto own = static_cast<std::uint32_t>(inode);
  const auto near = look_up(netlink.get(), own);
  if (!near) return {};
  if (near->peer == 0) return {listener_of(own), 0};
  const auto far = look_up(netlink.get(), near->peer);
  return {far ? far->name : std::string(), near->peer};
}

}  // namespace tricorn::diagnose
