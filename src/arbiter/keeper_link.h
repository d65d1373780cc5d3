// The arbiter's end of one keeper: orders are queued and sent as the keeper takes them.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/unique_fd.h"
#include "heartbeat/wire.h"

namespace tricorn::arbiter {

class KeeperLink {
 public:
  explicit KeeperLink(base::UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }
  /// Write `answer` (may be empty) to the worker's descriptor `fd` and end that connection.
  void answer(int fd, std::string answer) { order(heartbeat::Verb::Answer, fd, std::move(answer)); }
  /// Send the worker's descriptor `fd` back.
  void hand_over(int fd) { order(heartbeat::Verb::HandOver, fd, {}); }
  /// The same if the kernel has the whole answer that lies at `begin` to `end`; else write `answer`
  /// if it has nothing of that one, and end the connection.
  void settle(int fd, std::uint64_t begin, std::uint64_t end, const std::string& answer) {
    std::string payload(reinterpret_cast<const char*>(&begin), sizeof begin);
    payload.append(reinterpret_cast<const char*>(&end), sizeof end);
    order(heartbeat::Verb::Settle, fd, payload + answer);
  }
  /// Exit, after all that was ordered before.
  void leave() { order(heartbeat::Verb::Leave, 0, {}); }

  /// Takes one reply. Each order has one, and the orders that the keeper has not taken yet are sent
  /// when none is left here: ask until nothing comes.
  /// @param number  the worker's descriptor it is about
  /// @param passed  the descriptor that came with it, if any
  [[nodiscard]] heartbeat::Received receive(int& number, base::UniqueFd& passed);

 private:
  struct Order {
    heartbeat::Verb verb;
    std::int32_t number;
    std::string payload;
  };
  void order(heartbeat::Verb verb, int number, std::string payload);
  void pump();

  base::UniqueFd socket_;
  std::deque<Order> orders_;
};

}  // namespace tricorn::arbiter
