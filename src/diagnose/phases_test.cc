#include "diagnose/phases.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "diagnose/report.h"
#include "diagnose/shares.h"
#include "diagnose/testing/evidences.h"

namespace tricorn::diagnose {
namespace {

/// What a thread does until a time, from the end of the step before.
struct Step {
  std::int64_t until_ms;
  ThreadLook doing;
  std::optional<Peer> peer;
};

ThreadLook computing(int line = 12) {
  ThreadLook look = thread('R', -1);
  look.has_gil = true;
  look.stack = {app(line)};
  return look;
}

ThreadLook in(std::int64_t call, int line) {
  ThreadLook look = thread('S', call, {6});
  look.stack = {app(line)};
  return look;
}

/// A request of 3 s with these steps, sampled as the arbiter samples it.
Evidence request(const std::vector<Step>& steps) {
  Evidence evidence = watched(steps.back().doing);
  evidence.looks.clear();
  const auto look_at = [&](std::int64_t ms) {
    std::int64_t cpu_ms = 0;
    std::int64_t began = 0;
    ProcessLook look;
    look.at_ns = ms * kMs;
    look.python_readable = true;
    look.cgroup.oom_kill = 0;
    for (const Step& step : steps) {
      if (step.doing.state == 'R' && ms > began) cpu_ms += std::min(ms, step.until_ms) - began;
      if (look.threads.empty() && ms < step.until_ms) {
        look.threads = {step.doing};
        if (ms < 3000) look.peer = step.peer;  // the last ones are looked up by themselves
      }
      began = step.until_ms;
    }
    look.threads[0].cpu_ns = cpu_ms * kMs;
    look.threads[0].instruction = look.threads[0].state == 'R' ? static_cast<std::uint64_t>(ms) : 0;
    return look;
  };
  for (const std::int64_t ms : {100, 200, 400, 775, 1150, 1525, 1900, 2275})
    evidence.samples.push_back(look_at(ms));
  for (const std::int64_t ms : {2500, 3000, 3010, 3020, 3030, 3040})
    evidence.looks.push_back(look_at(ms));
  evidence.peer = steps.back().peer;
  return evidence;
}

constexpr std::int64_t kEnd = 4000;

std::string line_of(const Evidence& evidence) {
  return log_tail(decide(evidence), evidence, "abcdef");
}

const Evidence kCpuThenNetwork =
    request({{2300, computing(), {}}, {kEnd, in(SYS_recvfrom, 71), tcp(80)}});

TEST(Phases, ComputingBeforeAWaitIsCountedByTheCpuTime) {
  const auto phases = phases_of(kCpuThenNetwork);
  ASSERT_EQ(phases.size(), 2U);
  EXPECT_EQ(phases[0].cause, Cause::CpuPython);
  EXPECT_EQ(phases[0].place, "app.py:12");
  EXPECT_EQ(phases[0].ns / kMs, 2200);
  EXPECT_EQ(phases[1].ns / kMs, 740);
}

TEST(Phases, WhatWasBeforeIsSaidAndNotDenied) {
  const std::string line = line_of(kCpuThenNetwork);
  EXPECT_TRUE(line.starts_with("wait.network: ")) << line;
  EXPECT_NE(line.find("; before that 2.2 s in cpu.python at app.py:12 in view;"), std::string::npos)
      << line;
  EXPECT_EQ(line.find("CPU 0%"), std::string::npos) << line;
  EXPECT_NE(line.find("not memory"), std::string::npos) << line;
}

TEST(Phases, TheMajorOneIsTheVerdictWhenTheLastIsShort) {
  Peer file = of_kind(Peer::Kind::File, "/srv/lock");
  file.holder = 77;
  const Evidence evidence =
      request({{2950, in(SYS_flock, 9), file}, {kEnd, in(SYS_recvfrom, 11), tcp(80)}});
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitFileLock);
  EXPECT_EQ(verdict.place, "app.py:9");
  EXPECT_EQ(verdict.peer, "/srv/lock");
  EXPECT_NE(verdict.because.find("waited 2.6 of 3.0 s for the lock on /srv/lock, held by pid 77"),
            std::string::npos)
      << verdict.because;
  EXPECT_EQ(verdict.otherwise, "then 0.3 s in wait.network at app.py:11 in view");
}

TEST(Phases, WithoutThePeerOfThatTimeNoneIsNamed) {
  const Evidence evidence =
      request({{2950, in(SYS_recvfrom, 9), {}}, {kEnd, in(SYS_recvfrom, 11), tcp(80)}});
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitNetwork);
  EXPECT_EQ(verdict.otherwise, "before that 2.6 s waiting at app.py:9 in view");
}

TEST(Phases, ItRanAsLongAsItHadACpu) {
  const Evidence evidence =
      request({{2200, in(SYS_recvfrom, 75), tcp(5432)}, {kEnd, computing(76), {}}});
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::CpuPython);
  EXPECT_TRUE(verdict.because.starts_with("ran 0.8 s in Python code")) << verdict.because;
  EXPECT_EQ(verdict.otherwise, "before that 2.1 s in wait.database at app.py:75 in view");
}

TEST(Phases, OneWaitThatIsRepeatedIsOne) {
  Evidence evidence = request({{kEnd, in(SYS_clock_nanosleep, 11), {}}});
  for (std::size_t i = 0; i < evidence.samples.size(); ++i) {
    Stack& stack = evidence.samples[i].threads[0].stack;
    stack.insert(stack.end(), i, package("urllib3/connectionpool.py"));
  }
  evidence.samples[4].threads[0].state = 'R';  // between two of them
  evidence.samples[4].threads[0].syscall = -1;
  EXPECT_EQ(stretches_of(evidence).size(), 1U);
  EXPECT_EQ(decide(evidence).otherwise, "");
  evidence.samples[4] = evidence.samples[3];
  EXPECT_TRUE(decide(evidence).because.starts_with("slept 2.9 of 3.0 s"))
      << decide(evidence).because;
}

TEST(Phases, WhatStoodStillInAFewSamplesNeedNotBeOneCall) {
  Evidence evidence = kCpuThenNetwork;
  for (ProcessLook& sample : evidence.samples) sample.threads[0].instruction = 5;
  EXPECT_EQ(decide(evidence).otherwise, "before that 2.2 s computing at app.py:12 in view");
}

TEST(Phases, ReadyForACpuItComputesThoughItHadLittleOfOne) {
  Evidence evidence = kCpuThenNetwork;
  for (auto* looks : {&evidence.samples, &evidence.looks}) {
    for (ProcessLook& look : *looks) {
      look.threads[0].run_delay_ns = look.threads[0].cpu_ns * 9 / 10;
      look.threads[0].cpu_ns /= 10;
    }
  }
  const std::string line = line_of(evidence);
  EXPECT_NE(line.find("before that 2.2 s computing"), std::string::npos) << line;
  EXPECT_EQ(line.find("CPU 7%"), std::string::npos) << line;
}

TEST(Phases, ShortOnesAreNotToldOf) {
  const Evidence evidence =
      request({{500, computing(), {}}, {kEnd, in(SYS_recvfrom, 71), tcp(80)}});
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitNetwork);
  EXPECT_EQ(verdict.otherwise, "");
  EXPECT_NE(line_of(evidence).find("CPU 14%"), std::string::npos) << line_of(evidence);
}

TEST(Phases, ResourcesAreJudgedByTheirOwnCounters) {
  Evidence evidence = kCpuThenNetwork;
  for (ProcessLook& look : evidence.looks) look.fds = look.fd_limit = 1024;
  EXPECT_EQ(decide(evidence).cause, Cause::FdExhaustion);
  EXPECT_EQ(decide(evidence).otherwise, "");
}

/// Steps that follow one another again and again, each as long as it says.
Evidence in_turns(const std::vector<Step>& turn, std::int64_t switches_per_s) {
  std::vector<Step> steps;
  for (std::int64_t ms = 0; ms < kEnd;) {
    for (const Step& step : turn) {
      ms += step.until_ms;
      steps.push_back(step);
      steps.back().until_ms = ms;
    }
  }
  Evidence evidence = request(steps);
  for (auto* looks : {&evidence.samples, &evidence.looks}) {
    for (ProcessLook& look : *looks)
      look.threads[0].switches = look.at_ns / kMs * switches_per_s / 1000;
  }
  return evidence;
}

TEST(Shares, ARetryIsNamedByWhomItCallsThoughItSleepsAtTheEnd) {
  const Evidence evidence = in_turns(
      {{700, in(SYS_poll, 121), tcp(80, "SYN_SENT")}, {500, in(SYS_clock_nanosleep, 121), {}}}, 3);
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitConnect);
  EXPECT_EQ(verdict.peer, "10.0.0.7:80");
  EXPECT_EQ(verdict.place, "app.py:121");
  EXPECT_NE(verdict.because.find("for 1.5 of 3.0 s"), std::string::npos) << verdict.because;
  EXPECT_EQ(verdict.otherwise, "then sleeps between tries, 1.4 s in all");
}

TEST(Shares, PollingForSomethingIsSleepingAndTellsWhomItAsks) {
  const Evidence evidence =
      in_turns({{300, in(SYS_recvfrom, 9), tcp(80)}, {500, in(SYS_clock_nanosleep, 10), {}}}, 3);
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitSleep);
  EXPECT_EQ(verdict.place, "app.py:10");
  EXPECT_TRUE(verdict.because.starts_with("slept 2.4 of 3.0 s")) << verdict.because;
  EXPECT_EQ(verdict.otherwise,
            "in turns with 0.6 s in wait.network at app.py:9 in view for 10.0.0.7:80");
}

TEST(Shares, ALoopOfQueriesGetsOn) {
  const Evidence evidence =
      in_turns({{130, in(SYS_poll, 42), tcp(5432)}, {120, computing(42), {}}}, 300);
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::TimeoutTooShort);
  EXPECT_EQ(verdict.place, "app.py:42");
  EXPECT_NE(verdict.because.find("was advancing: 882 waits of "), std::string::npos)
      << verdict.because;
  EXPECT_NE(verdict.because.find("% wait.database for 10.0.0.7:5432 (PostgreSQL), "),
            std::string::npos)
      << verdict.because;
  EXPECT_NE(verdict.because.find("% computing"), std::string::npos) << verdict.because;
}

TEST(Shares, ALoopThatWaitsForTheDiskIsNotSaidToAdvance) {
  ThreadLook faulting = in(-1, 42);
  faulting.state = 'D';
  const Evidence evidence = in_turns({{130, faulting, {}}, {120, computing(42), {}}}, 300);
  EXPECT_NE(decide(evidence).cause, Cause::TimeoutTooShort);
}

TEST(Shares, AWaitWhosePeerWasNotSeenIsOneOfTheCallsAroundIt) {
  const Evidence evidence = in_turns(
      {{130, in(SYS_poll, 42), {}}, {120, computing(42), {}}, {140, in(SYS_recvfrom, 42), tcp(80)}},
      300);
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::TimeoutTooShort);
  EXPECT_EQ(verdict.because.find("waiting"), std::string::npos) << verdict.because;
}

TEST(Shares, AWaitThatComesAgainIsCountedAsAWhole) {
  Evidence evidence =
      in_turns({{380, in(SYS_clock_nanosleep, 7), {}}, {370, in(SYS_poll, 7), {}}}, 3);
  for (auto* looks : {&evidence.samples, &evidence.looks}) {
    for (ProcessLook& look : *looks) {
      ThreadLook& thread = look.threads[0];
      if (thread.syscall != SYS_poll) continue;
      thread.state = 'R';  // for a moment: the counters show no computing
      thread.syscall = -1;
    }
  }
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitSleep);
  EXPECT_TRUE(verdict.because.starts_with("slept 2.9 of 3.0 s")) << verdict.because;
  EXPECT_EQ(verdict.otherwise, "");
}

TEST(Shares, OneClassAtOnePlaceIsOneShare) {
  const Evidence evidence = request({{1000, in(SYS_poll, 9), tcp(80)},
                                     {2000, in(SYS_recvfrom, 9), tcp(80)},
                                     {2950, in(SYS_poll, 9), tcp(80)},
                                     {kEnd, in(SYS_recvfrom, 9), tcp(80)}});
  const auto stretches = stretches_of(evidence);
  EXPECT_EQ(stretches.size(), 4U);
  const auto shares = shares_of(evidence, stretches);
  ASSERT_EQ(shares.size(), 1U);
  EXPECT_EQ(shares[0].phase.ns / kMs, 2940);
  EXPECT_EQ(phases_of(evidence).size(), 1U);
  const Verdict verdict = decide(evidence);
  EXPECT_TRUE(verdict.because.starts_with("waited 2.9 of 3.0 s for 10.0.0.7:80"))
      << verdict.because;
  EXPECT_EQ(verdict.otherwise, "");
}

TEST(Phases, TheReportListsThem) {
  const std::string report =
      report_json(decide(kCpuThenNetwork), kCpuThenNetwork, "abcdef", 1'700'000'000);
  EXPECT_NE(report.find(R"("phases":[{"what":"cpu.python","place":"app.py:12","function":"view",)"
                        R"("seconds":2.2},{"what":"wait.network")"),
            std::string::npos)
      << report;
  EXPECT_TRUE(phases_of(Evidence{}).empty());
}

}  // namespace
}  // namespace tricorn::diagnose
