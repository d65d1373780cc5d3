#include "diagnose/usage.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace tricorn::diagnose {
namespace {

TEST(Usage, ReadsStatWhateverTheName) {
  Usage usage;
  parse_usage_stat("77 (a) R (b) S 1 77 77 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 4 0 9", 100,
                   usage);
  EXPECT_EQ(usage.state, 'S');
  EXPECT_EQ(usage.cpu_ns, 1'750'000'000);
}

TEST(Usage, ShortTextsSayNothing) {
  Usage usage;
  parse_usage_stat("77 (a) S 1 77", 100, usage);
  parse_usage_statm("12", 4096, usage);
  EXPECT_EQ(usage.cpu_ns, -1);
  EXPECT_EQ(usage.rss_bytes, -1);
  EXPECT_EQ(usage.state, '?');
}

TEST(Usage, ReadsResidentPages) {
  Usage usage;
  parse_usage_statm("5000 300 100 1 0 200 0", 4096, usage);
  EXPECT_EQ(usage.rss_bytes, 300 * 4096);
}

TEST(Usage, OfThisProcessAndOfNone) {
  EXPECT_GT(usage_of(::getpid()).rss_bytes, 100'000);
  EXPECT_GE(usage_of(::getpid()).cpu_ns, 0);
  EXPECT_EQ(usage_of(-1).rss_bytes, -1);
}

}  // namespace
}  // namespace tricorn::diagnose
