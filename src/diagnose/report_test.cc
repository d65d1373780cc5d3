#include "diagnose/report.h"

#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

#include "diagnose/testing/evidences.h"

namespace tricorn::diagnose {
namespace {

Evidence orders() {
  Evidence evidence;
  evidence.pid = 22382;
  evidence.arbiter = 22379;
  evidence.request = "GET /orders";
  evidence.running_ns = 3'000'000'000;
  return evidence;
}

Verdict database() {
  Verdict verdict;
  verdict.cause = Cause::WaitDatabase;
  verdict.because = "waited 2.9 of 3.0 s for 127.0.0.1:5432 (PostgreSQL) to answer";
  verdict.place = "app.py:203";
  verdict.function = "pg_sleep";
  verdict.peer = "127.0.0.1:5432 (PostgreSQL)";
  verdict.not_causes = {"memory.oom_kill: oom_kill 0 -> 0", "cpu.python: CPU 0%"};
  return verdict;
}

Evidence died(int status) {
  Evidence evidence = orders();
  evidence.death.emplace().wait_status = status;
  return evidence;
}

TEST(Report, TheLineKeepsThePrefixAndSaysClassRequestPlaceDenialsAndReference) {
  EXPECT_EQ(timeout_line(database(), orders(), "7f3a9c"),
            "WORKER TIMEOUT (pid:22382) wait.database: GET /orders waited 2.9 of 3.0 s for "
            "127.0.0.1:5432 (PostgreSQL) "
            "to answer at app.py:203 in pg_sleep; not memory, CPU 0%; ref 7f3a9c");
}

TEST(Report, AnUnreadableCounterRulesNothingOut) {
  Verdict verdict = database();
  verdict.not_causes = {"memory.oom_kill: oom_kill not readable -> not readable"};
  EXPECT_EQ(timeout_line(verdict, orders(), "7f3a9c").find("not memory"), std::string::npos);
}

TEST(Report, WhatLacksMemoryIsNotSaidToBeNotMemory) {
  Verdict verdict = database();
  verdict.cause = Cause::MemoryPressure;
  verdict.because = "spent its time bringing memory pages back";
  EXPECT_EQ(timeout_line(verdict, orders(), "7f3a9c"),
            "WORKER TIMEOUT (pid:22382) memory.pressure: GET /orders spent its time bringing "
            "memory pages back at app.py:203 in pg_sleep; CPU 0%; ref 7f3a9c");
}

TEST(Report, ADeathKeepsGunicornsPrefixes) {
  Verdict verdict;
  verdict.because = "os._exit";
  EXPECT_EQ(
      death_line(verdict, died(7 << 8), "7f3a9c"),
      "Worker (pid:22382) exited with code 7. os._exit; in GET /orders since 3.0 s; ref 7f3a9c");
  verdict.because = "Crashed, address 0x0 in libc.so.6";
  verdict.place = "app.py:373";
  EXPECT_EQ(death_line(verdict, died(SIGSEGV | 0x80), "7f3a9c"),
            "Worker (pid:22382) was sent SIGSEGV! Crashed, address 0x0 in libc.so.6, last seen at "
            "app.py:373; in GET "
            "/orders since 3.0 s; ref 7f3a9c");
}

TEST(Report, OurOwnKillDoesNotTellTheStoryTwice) {
  Verdict verdict;
  verdict.cause = Cause::KilledByUs;
  verdict.because = "By this server (pid:22379), 1.0 s after the time-out above";
  verdict.place = "app.py:1";
  EXPECT_EQ(death_line(verdict, died(SIGKILL), "7f3a9c"),
            "Worker (pid:22382) was sent SIGKILL! By this server (pid:22379), 1.0 s after the "
            "time-out above; ref 7f3a9c");
}

TEST(Report, APathCannotForgeALogLine) {
  EXPECT_EQ(printable("GET /a\n[CRITICAL] x\x1b[31m"), "GET /a\\x0a[CRITICAL] x\\x1b[31m");
  EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b") << "a terminal's control sequence introducer";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "half of a surrogate pair";
}

TEST(Report, ATracebackIsPythonsOutermostFirst) {
  EXPECT_EQ(traceback_text({{"<b>", "inner", 2}, {"<a>", "outer", 1}}),
            "Traceback (most recent call last):\n  File \"<a>\", line 1, in outer\n  File \"<b>\", "
            "line 2, in inner\n");
  EXPECT_EQ(traceback_text({}), "");
  const std::vector<PythonFrame> deep(5, {"<a>", "again", 1});
  EXPECT_EQ(traceback_text(deep),
            "Traceback (most recent call last):\n  File \"<a>\", line 1, in again\n"
            "  File \"<a>\", line 1, in again\n  File \"<a>\", line 1, in again\n"
            "  [Previous line repeated 2 more times]\n");
}

TEST(Report, TheJsonIsOneLineWithTheContractsFields) {
  Evidence evidence = orders();
  ProcessLook look;
  look.threads.resize(1);
  look.threads[0].stack = {{"/srv/\xff.py", "f", 3}};
  evidence.looks = {look, look};
  const std::string line = report_json(database(), evidence, "7f3a9c", 0);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["class"], "wait.database");
  EXPECT_EQ(json["place"], "app.py:203");
  EXPECT_EQ(json["request"], "GET /orders");
  EXPECT_EQ(json["seconds"], 3.0);
  EXPECT_EQ(json["time"], "1970-01-01T00:00:00Z");
  EXPECT_EQ(json["evidence"]["looks"].size(), 2U);
  EXPECT_EQ(json["stack"][0]["line"], 3);
  EXPECT_TRUE(json["client"].is_null());
  EXPECT_TRUE(json["threads"][0]["syscall"].is_null()) << "not readable, so not a number";
}

TEST(ReportJson, NativeCodeIsNamedUnaskedOrNotReadable) {
  Evidence evidence = orders();
  const auto native = [&] {
    const auto json = nlohmann::json::parse(report_json(database(), evidence, "7f3a9c", 0));
    return json["evidence"]["native"].dump();
  };
  EXPECT_EQ(native(), "null");
  evidence.native_asked = true;
  EXPECT_EQ(native(), R"("not readable")");
  evidence.native = {"libz.so.1.2.13", 8, 15};
  EXPECT_EQ(native(), R"({"in_module":8,"module":"libz.so.1.2.13","samples":15})");
}

std::string keys_of(const std::string& line) {
  std::string keys;
  const auto json = nlohmann::ordered_json::parse(line);
  for (const auto& [key, value] : json.items()) keys += key + " ";
  return keys;
}

TEST(ReportJson, FieldsKeepTheirOrder) {
  EXPECT_EQ(keys_of(report_json(database(), orders(), "7f3a9c", 0)),
            "version time class confidence ref pid request seconds because place function "
            "innermost peer client not hint phases stack threads evidence ");
  EXPECT_EQ(keys_of(summary_json(database(), orders(), "7f3a9c", 0)),
            "time class confidence ref pid request seconds place because ");
  const TimeByStack time("/srv");
  EXPECT_EQ(keys_of(slow_json(database(), orders(), {"answered", "", &time}, "7f3a9c", 0)),
            "time class confidence ref pid request seconds place because version event function "
            "innermost peer client not ended busy where stacks stack ");
}

TEST(DeathLine, NamesAllRequestsWhereNoneIsKnownToBeTheCause) {
  Evidence evidence = dead(9);
  evidence.request.clear();
  evidence.in_flight = {{"GET /a", 1'300'000'000, "app.py:9 in wait"}, {"GET /b", 200'000'000, ""}};
  const std::string line = death_line(decide(evidence), evidence, "7f3a9c");
  EXPECT_NE(line.find("did not move; in 2 requests: GET /a since 1.3 s (last seen at app.py:9 in "
                      "wait), GET /b since 0.2 s; ref 7f3a9c"),
            std::string::npos)
      << line;
  evidence.in_flight.resize(10, {"GET /c", 0, ""});
  EXPECT_NE(death_line(decide(evidence), evidence, "7f3a9c").find("since 0.0 s and 2 more; ref"),
            std::string::npos);
  const auto json = nlohmann::json::parse(report_json(decide(evidence), evidence, "7f3a9c", 0));
  EXPECT_TRUE(json["request"].is_null());
  EXPECT_EQ(json["in_flight"].size(), 10U);
  EXPECT_EQ(json["in_flight"][0]["place"], "app.py:9 in wait");
}

TEST(CutLine, SaysWhatTheRequestHungIn) {
  Evidence evidence;
  evidence.pid = 44;
  evidence.request = "GET /x";
  evidence.running_ns = 3'000'000'000;
  EXPECT_EQ(cut_line(nullptr, evidence, "shutdown", "7f3a9c"),
            "Worker (pid:44) cut at shutdown: GET /x had run 3.0 s; ref 7f3a9c");
  Verdict verdict;
  verdict.cause = Cause::WaitSleep;
  verdict.because = "slept 2.9 of 3.0 s (time.sleep or alike)";
  verdict.place = "app.py:10";
  verdict.function = "view";
  EXPECT_EQ(cut_line(&verdict, evidence, "shutdown", "7f3a9c"),
            "Worker (pid:44) cut at shutdown: GET /x had run 3.0 s; wait.sleep: slept 2.9 of 3.0 s "
            "(time.sleep or alike) at app.py:10 in view; ref 7f3a9c");
}

}  // namespace
}  // namespace tricorn::diagnose
