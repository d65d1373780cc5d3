// How long requests took, as counts in a shared page: log-linear buckets, four to each doubling, so
// that any figure read from them is at most a fifth too high.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tricorn::heartbeat {

/// Buckets: the first ends at 64 us, the last begins at some 400 s.
inline constexpr std::size_t kLatencyBuckets = 92;
/// Bits of a nanosecond count below the first bucket's end: 2^16 ns.
inline constexpr unsigned kLatencyLowBits = 16;

struct LatencyCounts {
  std::atomic<std::uint32_t> counts[kLatencyBuckets];
};

/// Bucket of a duration. @param ns  negative counts as zero
[[nodiscard]] constexpr std::size_t latency_bucket(std::int64_t ns) {
  if (ns < std::int64_t{1} << kLatencyLowBits) return 0;
  // A double holds its binary exponent, and behind it the quarter of the doubling, in its upper
  // bits: one conversion does what counting them takes ten instructions for.
  constexpr std::uint64_t kBelowFirst = (1023 + kLatencyLowBits) * 4 - 1;
  const std::uint64_t upper = std::bit_cast<std::uint64_t>(static_cast<double>(ns)) >> 50;
  return std::min<std::size_t>(upper - kBelowFirst, kLatencyBuckets - 1);
}

/// Where a bucket ends, in nanoseconds; the last one has no end, its value is where it would be.
[[nodiscard]] constexpr std::int64_t latency_bucket_end_ns(std::size_t bucket) {
  if (bucket == 0) return std::int64_t{1} << kLatencyLowBits;
  const std::size_t octave = (bucket - 1) / 4;
  const auto quarter = static_cast<std::int64_t>((bucket - 1) % 4);
  return (std::int64_t{5} + quarter) << (octave + kLatencyLowBits - 2);
}

/// Counts one request. One writer at a time (the GIL's holder); no lock.
inline void note_latency(LatencyCounts& latency, std::int64_t ns) {
#ifndef TRICORN_NO_HEARTBEAT
  std::atomic<std::uint32_t>& count = latency.counts[latency_bucket(ns)];
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
#endif
}

}  // namespace tricorn::heartbeat
