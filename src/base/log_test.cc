#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace tricorn::base {
namespace {

TEST(FormatLine, IsGunicornsPrefixByteForByte) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(format_line(1795427771, 14571, Level::Info, "Using worker: sync"),
            "[2026-11-23 09:56:11 +0000] [14571] [INFO] Using worker: sync\n");
}

TEST(LevelFrom, TakesAnyCaseAndFallsBackToInfo) {
  EXPECT_EQ(level_from("Critical"), Level::Critical);
  EXPECT_EQ(level_from("debug"), Level::Debug);
  EXPECT_EQ(level_from("loud"), Level::Info);
}

TEST(Log, AFullPipeCostsLinesAndTheCountIsReported) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(ends[1]);
  Log log;
  ASSERT_TRUE(log.open(path, Level::Info));
  const std::string long_message(1000, 'x');
  for (int i = 0; i < 200; ++i) log.info(long_message);  // 64 KiB fit; the rest must not block
  std::string seen(1 << 20, '\0');
  ssize_t got = ::read(ends[0], seen.data(), seen.size());
  ASSERT_GT(got, 0);
  log.info("after");
  got = ::read(ends[0], seen.data(), seen.size());
  ASSERT_GT(got, 0);
  const std::string_view rest(seen.data(), static_cast<std::size_t>(got));
  EXPECT_NE(rest.find("lines dropped"), std::string_view::npos) << rest;
  EXPECT_NE(rest.find("after"), std::string_view::npos);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace tricorn::base
