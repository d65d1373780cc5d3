#include "heartbeat/wire.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tricorn::heartbeat {
namespace {

constexpr std::size_t kHeadBytes = offsetof(Message, payload);

union ControlBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

bool send_message(int socket, Verb verb, std::int32_t number, const char* payload,
                  std::size_t bytes, int fd_to_pass, int flags) {
  if (bytes > kPayloadMax) {
    errno = EMSGSIZE;
    return false;
  }
  struct Head {
    Verb verb;
    std::int32_t number;
    std::uint32_t bytes;
  } head{verb, number, static_cast<std::uint32_t>(bytes)};
  static_assert(sizeof(Head) == kHeadBytes);
  iovec parts[2] = {{&head, sizeof head}, {const_cast<char*>(payload), bytes}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = bytes == 0 ? 1 : 2;
  ControlBuffer control{};
  if (fd_to_pass >= 0) {
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd_to_pass, sizeof(int));
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &header, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

Received receive_message(int socket, Message& message, base::UniqueFd& passed, int flags) {
  iovec part{&message, sizeof message};
  msghdr header{};
  ControlBuffer control{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  ssize_t got;
  // A peer that left with messages of ours unread gives one ECONNRESET before its own last ones.
  // Source: net/core/datagram.c __skb_try_recv_datagram: the error comes first, and once.
  bool reset = false;
  do {
    got = ::recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
  } while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset, true))));
  if (got < 0) return errno == EAGAIN ? Received::Nothing : Received::Closed;
  for (cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr;
       part_header = CMSG_NXTHDR(&header, part_header)) {
    if (part_header->cmsg_level != SOL_SOCKET || part_header->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(part_header), sizeof fd);
    passed.reset(fd);
  }
  if (static_cast<std::size_t>(got) < kHeadBytes || message.bytes > kPayloadMax)
    return Received::Closed;
  return Received::Message;
}

bool socket_pair(base::UniqueFd& ours, base::UniqueFd& theirs) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  ours.reset(ends[0]);
  theirs.reset(ends[1]);
  return true;
}

}  // namespace tricorn::heartbeat
