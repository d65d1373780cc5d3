#include "arbiter/slow_gate.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kStart = 1'000'000'000;

TEST(SlowGate, OnePathOncePerPauseAndCountsTheRest) {
  SlowGate gate;
  EXPECT_EQ(gate.pass("GET /x", kStart), 0U);
  EXPECT_EQ(gate.pass("GET /x", kStart + 1), std::nullopt);
  EXPECT_EQ(gate.pass("GET /x", kStart + kSlowPathPauseNs - 1), std::nullopt);
  EXPECT_EQ(gate.pass("GET /x", kStart + kSlowPathPauseNs), 2U);
  EXPECT_EQ(gate.pass("GET /x", kStart + 2 * kSlowPathPauseNs), 0U);
}

TEST(SlowGate, AllPathsSoManyPerWindow) {
  SlowGate gate;
  for (unsigned i = 0; i < kSlowLinesMax; ++i)
    EXPECT_EQ(gate.pass("GET /" + std::to_string(i), kStart), 0U);
  EXPECT_EQ(gate.pass("GET /one-more", kStart + kSlowWindowNs - 1), std::nullopt);
  EXPECT_EQ(gate.pass("GET /one-more", kStart + kSlowWindowNs), 0U);
}

TEST(SlowGate, RemembersNoPathForEver) {
  SlowGate gate;
  std::int64_t now = kStart;
  for (int i = 0; i < 10'000; ++i, now += kSlowWindowNs / kSlowLinesMax)
    EXPECT_EQ(gate.pass("GET /" + std::to_string(i), now), 0U) << i;
}

}  // namespace
}  // namespace tricorn::arbiter
