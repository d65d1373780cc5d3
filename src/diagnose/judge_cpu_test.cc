#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "diagnose/rules.h"
#include "diagnose/testing/causes.h"
#include "diagnose/testing/evidences.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {
namespace {

Evidence moving(Evidence evidence) {
  return each_look(std::move(evidence), [](ProcessLook& look, std::size_t i) {
    look.threads[0].instruction = i;
    look.threads[0].stack[0].line = i == 2 ? 99 : 20;
  });
}

Evidence next_call_begun_after_first_look(Evidence evidence) {
  evidence.looks.front().threads[0].instruction = 1;
  evidence.quick.assign(kRunningLooks, evidence.looks.back().threads[0]);
  evidence.quick.back().cpu_ns += 1'000'000;
  return evidence;
}

Evidence moving_between_looks(Evidence evidence) {
  evidence.quick.assign(3, evidence.looks.back().threads[0]);
  evidence.quick[1].instruction += 2;
  return evidence;
}

TEST(Decide, ALoopThatStandsStillInEveryLookIsToldFromNativeCodeByQuickOnes) {
  const Evidence still = burning(100);
  EXPECT_EQ(decide(still).cause, Cause::CpuNativeGil);
  EXPECT_EQ(decide(moving_between_looks(still)).cause, Cause::CpuPython);
}

TEST(Decide, OneCallAfterAnotherIsNativeCodeThoughSomeLooksMeetTheNext) {
  Evidence evidence = burning(100);
  while (evidence.looks.size() < 6) evidence.looks.push_back(evidence.looks.back());
  evidence.looks[1].threads[0].instruction += 1;  // the first call ended in front of it
  EXPECT_EQ(decide(evidence).cause, Cause::CpuPython) << "two changes, and nothing closer";
  evidence.quick.assign(kRunningLooks, evidence.looks.back().threads[0]);
  evidence.quick.back().cpu_ns += 1'000'000;
  EXPECT_EQ(decide(evidence).cause, Cause::CpuNativeGil);
}

/// Quick looks at a thread that stands still. @param cpu_us  what it has had of a CPU at each
Evidence quick_looks(Evidence evidence, char state, std::vector<std::int64_t> cpu_us,
                     std::int64_t slices) {
  ThreadLook look = evidence.looks.back().threads[0];
  const std::int64_t before = look.cpu_ns;
  look.slices = evidence.looks.back().threads[0].slices = 7;
  for (const std::int64_t us : cpu_us) {
    look.state = state;
    look.cpu_ns = before + us * 1000;
    if (us > 0) look.slices += slices;
    evidence.quick.push_back(look);
  }
  return evidence;
}

TEST(Decide, WhoHadNoCpuWhileHeWasLookedAtIsNotSaidToStandStill) {
  const Evidence late = burning(60, 40);
  const Verdict verdict = decide(quick_looks(late, 'R', std::vector<std::int64_t>(100, 0), 0));
  EXPECT_EQ(verdict.cause, Cause::CpuStarved);
  EXPECT_NE(verdict.because.find("no CPU in most of the 100 looks"), std::string::npos)
      << verdict.because;
  EXPECT_EQ(decide(quick_looks(late, 'S', {0, 0}, 0)).cause, Cause::Unknown);
}

TEST(Decide, OneThatStoodStillForSecondsOnACpuIsNativeThoughItHasNoneNow) {
  Evidence late = burning(60, 40);
  for (const std::int64_t ms : {0, 500, 1000}) {
    ProcessLook sample = late.looks.front();
    sample.at_ns = ms * kMs;
    sample.threads[0].cpu_ns -= (2500 - ms) * kMs * 60 / 100;
    late.samples.push_back(sample);
  }
  const Evidence still = quick_looks(late, 'R', std::vector<std::int64_t>(100, 0), 0);
  EXPECT_EQ(decide(still).cause, Cause::CpuNativeGil);
  Evidence moved = still;
  moved.samples.back().threads[0].instruction += 2;
  EXPECT_EQ(decide(moved).cause, Cause::CpuStarved);
  Evidence waiting = still;
  for (ProcessLook& sample : waiting.samples)
    sample.threads[0].cpu_ns = waiting.looks.front().threads[0].cpu_ns;
  EXPECT_EQ(decide(waiting).cause, Cause::CpuStarved) << "it had no CPU in between";
}

TEST(Facts, LooksBetweenTwoCountsOfOneSliceAreOfARunningThread) {
  const Evidence late = burning(60, 40);
  EXPECT_EQ(looks_while_running(quick_looks(late, 'R', {0, 0, 900, 900, 1900}, 0)), 5U);
  EXPECT_EQ(looks_while_running(quick_looks(late, 'R', {0, 0, 900, 900, 1900}, 1)), 2U);
  EXPECT_EQ(looks_while_running(quick_looks(late, 'R', {900, 900, 900}, 0)), 1U);
  EXPECT_EQ(looks_while_running(late), 0U);
}

Evidence without_gil(Evidence evidence) {
  return each_look(std::move(evidence),
                   [](ProcessLook& look, std::size_t) { look.threads[0].has_gil = false; });
}

using Computing = CauseTest;

TEST_P(Computing, IsToldByItsKind) { expect_cause(); }

const Row kCpu[] = {
    {"python", moving(burning(100)), "cpu.python"},
    {"native_with_gil", burning(100), "cpu.native_gil"},
    {"loop_without_a_body",
     each_look(burning(100), [](ProcessLook& l, std::size_t) { l.threads[0].jumps = true; }),
     "cpu.python"},
    {"native_after_a_jump",
     each_look(burning(100), [](ProcessLook& l, std::size_t i) { l.threads[0].jumps = i == 0; }),
     "cpu.native_gil"},
    {"native_without_gil", without_gil(burning(100)), "cpu.native_nogil"},
    {"native_then_native_without_gil", next_call_begun_after_first_look(without_gil(burning(100))),
     "cpu.native_nogil"},
    {"collector",
     each_look(burning(100), [](ProcessLook& l, std::size_t) { l.gc_collecting = true; }),
     "gc.pause"},
    {"collector_once",
     each_look(burning(100), [](ProcessLook& l, std::size_t i) { l.gc_collecting = i == 0; }),
     "cpu.native_gil"},
    {"at_threshold", burning(70), "cpu.native_gil"},
    {"below_threshold", burning(69), "unknown"},
    {"stack_not_readable",
     each_look(burning(100),
               [](ProcessLook& l, std::size_t) {
                 l.python_readable = false;
                 l.threads[0].stack.clear();
               }),
     "unknown"},
};
INSTANTIATE_TEST_SUITE_P(All, Computing, testing::ValuesIn(kCpu), named);

std::string said_of(const Evidence& evidence) { return decide(evidence).because; }

TEST(Verdict, NativeCodeIsNamedWhenTheSamplesAgree) {
  Evidence evidence = burning(100);
  EXPECT_NE(said_of(evidence).find("in C code that holds the GIL"), std::string::npos);
  evidence.native = {"libz.so.1.2.13", 8, 15};
  EXPECT_NE(said_of(evidence).find("in C code of libz.so.1.2.13 that holds the GIL"),
            std::string::npos);
  EXPECT_NE(said_of(without_gil(evidence)).find("libz.so.1.2.13 that has let the GIL go"),
            std::string::npos);
  for (const NativeCode& vague : {NativeCode{"libz.so.1.2.13", 7, 15}, NativeCode{"", 15, 15},
                                  NativeCode{"libz.so.1.2.13", 2, 2}}) {
    evidence.native = vague;
    EXPECT_NE(said_of(evidence).find("in C code that holds"), std::string::npos) << vague.samples;
  }
}

TEST(Verdict, ALoopIsAtItsMostFrequentLine) {
  EXPECT_EQ(decide(moving(burning(100))).place, "app.py:20");
}

}  // namespace
}  // namespace tricorn::diagnose
