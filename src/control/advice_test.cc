#include "control/advice.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

/// A quiet server with 1,000 fast requests.
Json quiet() {
  return Json::parse(R"({"uptime_s":4000,"timeout_s":30,"threads":4,"workers":{"wanted":2},"cpus":4,
    "cpu_share":0.05,"latency":[[0.01,990],[0.1,9],[2.0,1]],
    "paths":[{"request":"GET /report","count":3,"timed_out":0,"longest_s":1.9,"mean_s":1.2}],
    "load":{"seconds":3600,"readings":36000,"busy_share":0.2,"busy_max":6,"full_share":0}})");
}

Advice about(const std::string& setting, const Json& figures, int frontend = 240) {
  for (Advice& one : advise(figures, frontend))
    if (one.setting == setting) return one;
  return {"none", "", "", "", false};
}

TEST(Latencies, ReadFromBuckets) {
  const Latencies latencies = latencies_of(quiet()["latency"]);
  EXPECT_EQ(latencies.count, 1000U);
  EXPECT_DOUBLE_EQ(latencies.p50_s, 0.01);
  EXPECT_DOUBLE_EQ(latencies.p99_s, 0.01);
  EXPECT_DOUBLE_EQ(latencies.p999_s, 0.1);
  EXPECT_DOUBLE_EQ(latencies.longest_s, 2.0);
  EXPECT_EQ(latencies_of(Json::array()).count, 0U);
  EXPECT_EQ(latencies_of(Json::parse(R"([["x",1],[1]])")).count, 0U);
}

TEST(Advise, WhatFitsIsKept) {
  for (const char* setting : {"--timeout", "--workers", "--threads"}) {
    const Advice advice = about(setting, quiet());
    EXPECT_EQ(advice.now, advice.proposed) << setting << advice.because;
    EXPECT_FALSE(advice.warning) << setting;
  }
  EXPECT_EQ(about("front end", quiet()).setting, "none");
}

TEST(Advise, ATimeoutWithoutRoomIsRaisedWithTheFigures) {
  Json figures = quiet();
  figures["paths"][0]["longest_s"] = 24.5;
  const Advice advice = about("--timeout", figures);
  EXPECT_EQ(advice.proposed, "40");
  EXPECT_TRUE(advice.warning);
  EXPECT_NE(advice.because.find("24.5 s (GET /report)"), std::string::npos) << advice.because;
}

TEST(Advise, ATimeoutFarAboveIsLowered) {
  Json figures = quiet();
  figures["timeout_s"] = 600;
  EXPECT_EQ(about("--timeout", figures).proposed, "30");
  figures["timeout_s"] = 0;
  EXPECT_EQ(about("--timeout", figures).proposed, "30");
}

TEST(Advise, WhatWasCutNeedsMoreThanANumber) {
  Json figures = quiet();
  figures["paths"].push_back(
      Json::parse(R"({"request":"POST /pay","count":2,"timed_out":2,"longest_s":0})"));
  const Advice advice = about("--timeout", figures);
  EXPECT_TRUE(advice.proposed.empty());
  EXPECT_TRUE(advice.warning);
  EXPECT_NE(advice.because.find("2 of POST /pay were cut at 30 s"), std::string::npos)
      << advice.because;
}

TEST(Advise, FewRequestsSayNothing) {
  Json figures = quiet();
  figures["latency"] = Json::parse("[[0.01,99]]");
  EXPECT_NE(about("--timeout", figures).because.find("only 99 requests"), std::string::npos);
  figures["load"]["seconds"] = 299;
  EXPECT_NE(about("--workers", figures).because.find("watched for 4 min 59 s only"),
            std::string::npos);
}

TEST(Advise, AFrontEndThatGivesUpEarlierIsAWarning) {
  Json figures = quiet();
  figures["timeout_s"] = 240;
  EXPECT_EQ(about("front end", figures).setting, "none");
  figures["timeout_s"] = 241;
  EXPECT_TRUE(about("front end", figures).warning);
  EXPECT_EQ(about("front end", figures, 0).setting, "none");
  figures["timeout_s"] = 600;
  figures["paths"][0]["longest_s"] = 300;
  EXPECT_NE(about("front end", figures).because.find("GET /report took 300 s"), std::string::npos);
}

TEST(Advise, CrowdedThreadsThatWaitBecomeMoreThreads) {
  Json figures = quiet();
  figures["load"]["busy_share"] = 0.9;
  const Advice threads = about("--threads", figures);
  EXPECT_EQ(threads.proposed, "8");
  EXPECT_TRUE(threads.warning);
  EXPECT_NE(threads.because.find("90% of the threads"), std::string::npos) << threads.because;
  EXPECT_EQ(about("--workers", figures).proposed, "2");
}

TEST(Advise, CrowdedThreadsThatComputeBecomeWorkersWhileThereAreCpus) {
  Json figures = quiet();
  figures["load"]["full_share"] = 0.3;
  figures["cpu_share"] = 0.9;
  EXPECT_EQ(about("--workers", figures).proposed, "3");
  figures["cpus"] = 2;
  const Advice none_left = about("--workers", figures);
  EXPECT_EQ(none_left.proposed, none_left.now);
  EXPECT_NE(none_left.because.find("no CPU is left"), std::string::npos);
}

TEST(Advise, TextAndJsonHaveTheFigures) {
  const auto advice = advise(quiet(), 240);
  const std::string text = render_advice(quiet(), advice);
  EXPECT_NE(text.find("1000 requests"), std::string::npos) << text;
  EXPECT_NE(text.find("GET /report"), std::string::npos);
  EXPECT_NE(text.find("keep 30"), std::string::npos);
  EXPECT_EQ(advice_json(quiet(), advice)["advice"].size(), advice.size());
  EXPECT_FALSE(render_advice(Json::object(), advise(Json::object(), 240)).empty());
}

}  // namespace
}  // namespace tricorn::control
