#include "arbiter/memory_limit.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

TEST(JudgeMemory, ReplacesWhatHasGrown) {
  MemoryWatch watch;
  EXPECT_EQ(judge_memory(watch, 100, 200), MemoryStep::Fine);
  EXPECT_EQ(judge_memory(watch, 200, 200), MemoryStep::Fine);
  EXPECT_EQ(judge_memory(watch, 201, 200), MemoryStep::Replace);
}

TEST(JudgeMemory, AFreshWorkerAboveTheLimitIsTheLimitsFault) {
  MemoryWatch watch;
  EXPECT_EQ(judge_memory(watch, 300, 200), MemoryStep::LimitTooLow);
  EXPECT_EQ(judge_memory(watch, 400, 200), MemoryStep::LimitTooLow);
}

TEST(JudgeMemory, NothingReadOrNoLimitIsFine) {
  MemoryWatch watch;
  EXPECT_EQ(judge_memory(watch, -1, 200), MemoryStep::Fine);
  EXPECT_EQ(judge_memory(watch, 300, 0), MemoryStep::Fine);
}

}  // namespace
}  // namespace tricorn::arbiter
