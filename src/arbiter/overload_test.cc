#include "arbiter/overload.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 1000 * kSecond;

Load waiting(std::uint64_t count, std::uint64_t answered) { return {true, count, answered}; }

TEST(Overload, IsToldWhenItHasLasted) {
  OverloadWatch watch;
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart));
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart + kSecond));
  EXPECT_TRUE(watch.note(waiting(9, 0), kStart + 2 * kSecond));
  EXPECT_EQ(watch.lasts_ns(kStart + 2 * kSecond), 2 * kSecond);
}

TEST(Overload, IsNotToldAgainSoon) {
  OverloadWatch watch;
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart));
  EXPECT_TRUE(watch.note(waiting(9, 0), kStart + 2 * kSecond));
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart + 3 * kSecond));
  EXPECT_TRUE(watch.note(waiting(9, 0), kStart + 33 * kSecond));
}

TEST(Overload, AFreeThreadOrAnEmptyQueueEndsIt) {
  OverloadWatch watch;
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart));
  EXPECT_FALSE(watch.note({false, 0, 0}, kStart + kSecond));
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart + 2 * kSecond));
  EXPECT_FALSE(watch.note(waiting(0, 0), kStart + 3 * kSecond));
  EXPECT_FALSE(watch.note(waiting(9, 0), kStart + 4 * kSecond));
}

TEST(Overload, AFullHouseThatIsServedFastIsNone) {
  OverloadWatch watch;
  EXPECT_FALSE(watch.note(waiting(100, 0), kStart));
  EXPECT_FALSE(watch.note(waiting(100, 20'000), kStart + 2 * kSecond)) << "each waits 10 ms";
  EXPECT_TRUE(watch.note(waiting(100, 20'040), kStart + 500 * kSecond)) << "each waits 2.5 s";
}

}  // namespace
}  // namespace tricorn::arbiter
