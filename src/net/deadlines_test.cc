#include "net/deadlines.h"

#include <gtest/gtest.h>

namespace tricorn::net {
namespace {

TEST(DeadlineQueue, IsInOrderOfArming) {
  DeadlineQueue queue(100);
  Deadline a;
  Deadline b;
  queue.arm(a, 1);
  queue.arm(b, 2);
  EXPECT_EQ(queue.first(), &a);
  EXPECT_EQ(a.at_ns, 101);
  queue.arm(a, 3);  // moved to the end
  EXPECT_EQ(queue.first(), &b);
  b.disarm();
  EXPECT_EQ(queue.first(), &a);
  a.disarm();
  a.disarm();
  EXPECT_EQ(queue.first(), nullptr);
}

TEST(DeadlineQueue, ADeadlineIsOnOneQueueAtATime) {
  DeadlineQueue slow(100);
  DeadlineQueue fast(10);
  Deadline deadline;
  slow.arm(deadline, 0);
  fast.arm(deadline, 0);
  EXPECT_EQ(slow.first(), nullptr);
  EXPECT_EQ(fast.first(), &deadline);
}

TEST(DeadlineQueue, ZeroMeansNever) {
  DeadlineQueue never(0);
  Deadline deadline;
  never.arm(deadline, 5);
  EXPECT_FALSE(deadline.armed());
  EXPECT_EQ(never.first(), nullptr);
}

}  // namespace
}  // namespace tricorn::net
