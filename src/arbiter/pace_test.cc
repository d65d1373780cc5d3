#include "arbiter/pace.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kStart = 1'000'000 * kMs;

TEST(Pace, IsSlowerOnlyAfterSecondsWithoutWork) {
  Pace pace;
  pace.note(true, 1, kStart);
  pace.note(false, 1, kStart + 4999 * kMs);
  EXPECT_EQ(pace.pause_ns(0, kStart + 4999 * kMs), 100 * kMs);
  EXPECT_EQ(pace.pause_ns(0, kStart + 5000 * kMs), 250 * kMs);
}

TEST(Pace, AShortRequestCountsThoughNoTurnSawItRun) {
  Pace pace;
  pace.note(false, 7, kStart);
  pace.note(false, 7, kStart + 9000 * kMs);
  EXPECT_EQ(pace.pause_ns(0, kStart + 9000 * kMs), 250 * kMs);
  pace.note(false, 8, kStart + 9250 * kMs);
  EXPECT_EQ(pace.pause_ns(0, kStart + 9250 * kMs), 100 * kMs);
}

TEST(Pace, AShortLimitIsNotMissed) {
  const Pace pace;
  EXPECT_EQ(pace.pause_ns(30'000 * kMs, kStart), 250 * kMs);
  EXPECT_EQ(pace.pause_ns(1000 * kMs, kStart), 125 * kMs);
  EXPECT_EQ(pace.pause_ns(100 * kMs, kStart), 100 * kMs);
}

}  // namespace
}  // namespace tricorn::arbiter
