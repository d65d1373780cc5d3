#include "arbiter/keeper_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace tricorn::arbiter {
namespace {

using heartbeat::Received;
using heartbeat::Verb;

class Orders : public ::testing::Test {
 protected:
  void SetUp() override {
    base::UniqueFd ours;
    ASSERT_TRUE(heartbeat::socket_pair(ours, keeper_));
    link_.emplace(std::move(ours));
  }

  /// Takes all orders that are there, and replies. @return how many these were
  int obey() {
    heartbeat::Message order;
    base::UniqueFd passed;
    int count = 0;
    for (; heartbeat::receive_message(keeper_.get(), order, passed, MSG_DONTWAIT) ==
           Received::Message;
         ++count) {
      taken_.push_back(order.verb == Verb::Leave ? -1 : order.number);
    }
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(
          heartbeat::send_message(keeper_.get(), Verb::Done, 0, nullptr, 0, -1, MSG_DONTWAIT));
    }
    return count;
  }

  void read_replies() {
    int number = 0;
    base::UniqueFd passed;
    while (link_->receive(number, passed) == Received::Message) {
    }
  }

  std::optional<KeeperLink> link_;
  base::UniqueFd keeper_;
  std::vector<int> taken_;
};

// More than the channel holds, to a keeper that is faster than we are: it has done all and is
// silent when its replies have been read.
TEST_F(Orders, GetThroughHoweverManyThereAre) {
  constexpr int kOrders = 2000;
  for (int i = 0; i < kOrders; ++i) link_->hand_over(i);
  link_->leave();
  int channel_holds = 0;
  while (const int count = obey()) {
    channel_holds = std::max(channel_holds, count);
    read_replies();
  }
  EXPECT_LT(channel_holds, kOrders) << "or this tests nothing";
  ASSERT_EQ(taken_.size(), std::size_t{kOrders} + 1);
  for (int i = 0; i < kOrders; ++i) ASSERT_EQ(taken_[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(taken_.back(), -1);
}

}  // namespace
}  // namespace tricorn::arbiter
