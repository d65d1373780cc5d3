#include "diagnose/unix_peer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

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
};

bool ask(int netlink, std::uint32_t inode) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = UINT32_MAX;
  request.body.udiag_ino = inode;
  request.body.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_NAME;
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
    at += RTA_ALIGN(attribute.rta_len);
  }
  return found;
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

}  // namespace

std::string unix_peer_path(std::uint64_t inode) {
  const base::UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid()) return {};
  const auto near = look_up(netlink.get(), static_cast<std::uint32_t>(inode));
  if (!near || near->peer == 0) return {};
  const auto far = look_up(netlink.get(), near->peer);
  return far ? far->name : std::string();
}

}  // namespace tricorn::diagnose
