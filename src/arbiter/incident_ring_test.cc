#include "arbiter/incident_ring.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

TEST(IncidentRing, FindsTheNewestOfAReference) {
  IncidentRing ring;
  ring.add("wait.sleep", {"aaaaaa", "{}", "first"});
  ring.add("wait.lock", {"bbbbbb", "{}", "other"});
  ring.add("signal.own_kill", {"aaaaaa", "{}", "second"});
  ASSERT_NE(ring.find("aaaaaa"), nullptr);
  EXPECT_EQ(ring.find("aaaaaa")->report, "second");
  EXPECT_EQ(ring.find("cccccc"), nullptr);
}

TEST(IncidentRing, KeepsSoManyAndCountsAll) {
  IncidentRing ring;
  for (std::size_t i = 0; i <= kIncidentsKept; ++i)
    ring.add("wait.sleep", {std::to_string(i), "{}", "line"});
  EXPECT_EQ(ring.kept().size(), kIncidentsKept);
  EXPECT_EQ(ring.find("0"), nullptr);
  EXPECT_NE(ring.find("1"), nullptr);
  EXPECT_EQ(ring.counts().at("wait.sleep"), kIncidentsKept + 1);
}

TEST(IncidentRing, KeepsSoManyBytes) {
  IncidentRing ring;
  for (int i = 0; i < 5; ++i)
    ring.add("wait.sleep", {std::to_string(i), "", std::string(kIncidentBytesKept / 4, 'x')});
  EXPECT_EQ(ring.kept().size(), 3U);
  ring.add("wait.sleep", {"huge", "", std::string(2 * kIncidentBytesKept, 'x')});
  EXPECT_EQ(ring.kept().size(), 1U);  // the newest stays, whatever its size
  EXPECT_NE(ring.find("huge"), nullptr);
}

TEST(IncidentRing, ASlowRequestIsKeptAndNotCounted) {
  IncidentRing ring;
  ring.add("wait.sleep", {"aaaaaa", "{}", "slow", true});
  EXPECT_TRUE(ring.counts().empty());
  EXPECT_NE(ring.find("aaaaaa"), nullptr);
}

TEST(IncidentRing, WhatIsToldOfASlowRequestLastCounts) {
  IncidentRing ring;
  ring.add("wait.sleep", {"aaaaaa", "{}", "still running", true});
  ring.add("wait.sleep", {"aaaaaa", "{}", "ended", true});
  EXPECT_EQ(ring.kept().size(), 1U);
  EXPECT_EQ(ring.find("aaaaaa")->report, "ended");
  ring.add("wait.sleep", {"aaaaaa", "{}", "timed out"});
  EXPECT_EQ(ring.find("aaaaaa")->report, "timed out");
  EXPECT_EQ(ring.find("aaaaaa", true)->report, "ended");
}

}  // namespace
}  // namespace tricorn::arbiter
