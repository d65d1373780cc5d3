#include "arbiter/python_logger.h"

#include <gtest/gtest.h>

#include <vector>

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(PythonLogger, IsStartedAgainAtOnceAndThenMoreAndMoreSlowly) {
  PythonLogger logger;
  std::vector<std::int64_t> pauses;
  for (int i = 0; i < 9; ++i) {
    logger.started(7, 0);
    EXPECT_EQ(logger.due_ns(), INT64_MAX);
    pauses.push_back(logger.ended(kSecond) / kSecond);
    EXPECT_EQ(logger.due_ns(), kSecond + pauses.back() * kSecond);
    EXPECT_EQ(logger.pid(), 0);
  }
  EXPECT_EQ(pauses, (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 32, 32}));
}

TEST(PythonLogger, ForgetsAfterALongLife) {
  PythonLogger logger;
  logger.started(7, 0);
  logger.ended(kSecond);
  logger.started(8, kSecond);
  EXPECT_EQ(logger.ended(kSecond + PythonLogger::kLongLifeNs - 1), kSecond);
  logger.started(9, 0);
  EXPECT_EQ(logger.ended(PythonLogger::kLongLifeNs), 0);
}

TEST(PythonLogger, ThatCannotBeStartedWaitsLongerToo) {
  PythonLogger logger;
  logger.started(7, 0);
  EXPECT_EQ(logger.ended(kSecond), 0);
  logger.asked();
  EXPECT_EQ(logger.due_ns(), INT64_MAX);
  EXPECT_EQ(logger.ended(100 * kSecond), kSecond);
}

}  // namespace
}  // namespace tricorn::arbiter
