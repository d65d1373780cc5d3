#include "arbiter/load.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kStart = 1'000'000 * kMs;

ThreadsInUse busy(unsigned count) { return {count, 4, 0}; }

TEST(LoadHistory, AReadingAfterALongerPauseWeighsAsMuchAsTheOnesLeftOut) {
  LoadHistory history;
  history.note(busy(4), kStart);
  history.note(busy(4), kStart + 99 * kMs);  // too early
  history.note(busy(1), kStart + 300 * kMs);
  const LoadPeriod lately = history.lately();
  EXPECT_EQ(lately.readings, 4U);
  EXPECT_EQ(lately.busy, 4U + 3 * 1U);
  EXPECT_EQ(lately.threads, 4U * 4U);
  EXPECT_EQ(lately.busy_max, 4U);
  EXPECT_EQ(lately.full, 1U);
}

TEST(LoadHistory, AStandstillDoesNotWeighMoreThanASecond) {
  LoadHistory history;
  history.note(busy(0), kStart);
  history.note(busy(4), kStart + 60'000 * kMs - 1);
  EXPECT_EQ(history.lately().readings, 11U);
}

}  // namespace
}  // namespace tricorn::arbiter
