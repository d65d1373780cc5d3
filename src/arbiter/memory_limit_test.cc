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

TEST(GrowthVerdict, SaysFromWhatToWhat) {
  const MemoryWatch watch{std::int64_t{30} << 20, 0};
  const diagnose::Verdict verdict =
      growth_verdict(watch, std::int64_t{125} << 20, std::int64_t{120} << 20);
  EXPECT_EQ(diagnose::name_of(verdict.cause), "memory.limit");
  EXPECT_EQ(verdict.because,
            "has 125.0 MB of memory, 30.0 MB when it was new, --max-worker-memory 120.0 MB");
}

}  // namespace
}  // namespace tricorn::arbiter
