#include "arbiter/keeper_link.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace tricorn::arbiter {

void KeeperLink::order(heartbeat::Verb verb, int number, std::string payload) {
  orders_.push_back({verb, number, std::move(payload)});
  pump();
}

// What does not get through is sent with a later reply: the keeper has orders to reply to.
void KeeperLink::pump() {
  while (!orders_.empty()) {
    const Order& next = orders_.front();
    const bool sent =
        heartbeat::send_message(socket_.get(), next.verb, next.number, next.payload.data(),
                                next.payload.size(), -1, MSG_DONTWAIT);
    if (!sent && (errno == EAGAIN || errno == ENOBUFS)) return;
    if (!sent) orders_.clear();  // the keeper is gone, and with it the connections
    if (sent) orders_.pop_front();
  }
}

heartbeat::Received KeeperLink::receive(int& number, base::UniqueFd& passed) {
  heartbeat::Message reply;
  const auto received = heartbeat::receive_message(socket_.get(), reply, passed, MSG_DONTWAIT);
  if (received == heartbeat::Received::Message) number = reply.number;
  // While its replies were read it may have done all that it had, and then says nothing more.
  if (received == heartbeat::Received::Nothing) pump();
  return received;
}

}  // namespace tricorn::arbiter
