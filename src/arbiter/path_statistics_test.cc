#include "arbiter/path_statistics.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(PathStatistics, LongestAndCutOnesFirst) {
  PathStatistics statistics;
  statistics.answered("GET /a", 2 * kSecond);
  statistics.answered("GET /a", 4 * kSecond);
  statistics.answered("GET /b", 9 * kSecond);
  statistics.timed_out("GET /c");
  const auto list = statistics.slowest(10);
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].request, "GET /c");
  EXPECT_EQ(list[0].timed_out, 1U);
  EXPECT_EQ(list[1].request, "GET /b");
  EXPECT_EQ(list[2].count, 2U);
  EXPECT_EQ(list[2].longest_ns, 4 * kSecond);
  EXPECT_EQ(list[2].total_ns, 6 * kSecond);
  EXPECT_EQ(statistics.slowest(1).size(), 1U);
}

TEST(PathStatistics, KeepsSoManyAndDropsTheShortest) {
  PathStatistics statistics;
  statistics.answered("GET /longest", 100 * kSecond);
  for (std::size_t i = 0; i < 2 * kPathsKept; ++i)
    statistics.answered("GET /" + std::to_string(i), static_cast<std::int64_t>(i + 1));
  const auto list = statistics.slowest(10'000);
  EXPECT_EQ(list.size(), kPathsKept);
  EXPECT_EQ(list.front().request, "GET /longest");
}

TEST(PathStatistics, WithoutAPathNothingIsCounted) {
  PathStatistics statistics;
  statistics.answered("", kSecond);
  statistics.timed_out("");
  EXPECT_TRUE(statistics.slowest(10).empty());
}

}  // namespace
}  // namespace tricorn::arbiter
