#include "diagnose/told.h"

#include <gtest/gtest.h>

#include <string>

namespace tricorn::diagnose {
namespace {

TEST(Told, OfASlowClientSaysWhoAndHowLong) {
  const auto told = parse_told(
      "client.slow_headers\n7f3a9c\nGET /orders\n10.0.0.9 51123\n38 0 1000000000 0\n\n", "/srv");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->ref, "7f3a9c");
  EXPECT_EQ(told->verdict.cause, Cause::ClientSlowHeaders);
  EXPECT_EQ(told->evidence.request, "GET /orders");
  EXPECT_EQ(told->evidence.client, "10.0.0.9:51123");
  EXPECT_EQ(told->verdict.because,
            "was cut: its client 10.0.0.9:51123 had sent 38 bytes of its head after 1.0 s");
}

TEST(Told, OfARecursionNamesTheFunction) {
  const auto told = parse_told(
      "app.recursion\n7f3a9c\nGET /\n::1 5\n0 0 0 2\nRecursionError: maximum\n"
      "12 walk /srv/app/tree.py\n12 walk /srv/app/tree.py\n40 view /srv/app/app.py\n",
      "/srv/app");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->verdict.place, "tree.py:12");
  EXPECT_EQ(told->verdict.function, "walk");
  EXPECT_EQ(told->evidence.client, "[::1]:5");
  EXPECT_EQ(told->verdict.because,
            "was ended by RecursionError: maximum: walk calls itself (2 like it before were only "
            "counted)");
  EXPECT_EQ(told->evidence.looks[0].threads[0].stack.size(), 3U);
}

TEST(Told, OnlyWhatAWorkerMayTellIsBelieved) {
  const std::string rest = "\n7f3a9c\nGET /\n10.0.0.9 5\n0 0 0 0\n\n";
  EXPECT_FALSE(parse_told("memory.oom_kill" + rest, ""));
  EXPECT_FALSE(parse_told("no.such_cause" + rest, ""));
  EXPECT_TRUE(parse_told("memory.limit" + rest, ""));
  EXPECT_TRUE(parse_told("fd.exhaustion" + rest, ""));
}

TEST(Told, ACutOrStrangeMessageIsNone) {
  EXPECT_FALSE(parse_told("", ""));
  EXPECT_FALSE(parse_told("memory.limit\n7f3a9c\nGET /\n", ""));
  EXPECT_FALSE(parse_told("memory.limit\nnot hex\nGET /\n10.0.0.9 5\n0 0 0 0\n\n", ""));
}

}  // namespace
}  // namespace tricorn::diagnose
