#include "heartbeat/latency.h"

#include <gtest/gtest.h>

#include <memory>

namespace tricorn::heartbeat {
namespace {

TEST(Latency, EveryDurationLiesBelowItsBucketsEndAndNotFar) {
  for (std::int64_t ns = 1; ns < 400'000'000'000; ns += ns / 7 + 1) {
    const std::size_t bucket = latency_bucket(ns);
    const std::int64_t end = latency_bucket_end_ns(bucket);
    EXPECT_LT(ns, end);
    if (bucket > 0) {
      EXPECT_GE(ns, latency_bucket_end_ns(bucket - 1)) << bucket;
      EXPECT_LE(end, ns + ns / 4 + 1);
    }
  }
}

TEST(Latency, WhatIsOutOfRangeIsInTheFirstOrLast) {
  EXPECT_EQ(latency_bucket(-5), 0U);
  EXPECT_EQ(latency_bucket(0), 0U);
  EXPECT_EQ(latency_bucket((1 << 16) - 1), 0U);
  EXPECT_EQ(latency_bucket(1 << 16), 1U);
  EXPECT_EQ(latency_bucket(INT64_MAX), kLatencyBuckets - 1);
  EXPECT_GT(latency_bucket_end_ns(kLatencyBuckets - 1), 400'000'000'000);
}

TEST(Latency, Counts) {
  auto latency = std::make_unique<LatencyCounts>();
  note_latency(*latency, 1'000'000);
  note_latency(*latency, 1'000'001);
  EXPECT_EQ(latency->counts[latency_bucket(1'000'000)].load(), 2U);
}

}  // namespace
}  // namespace tricorn::heartbeat
