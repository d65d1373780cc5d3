#include "control/top.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

TEST(Top, FitsTheTerminal) {
  EXPECT_EQ(fitted("abcdef\nxyz\nlast\n", 2, 4), "abcd\nxyz");
  EXPECT_EQ(fitted("äöü\n", 5, 2), "äö\n");
  EXPECT_EQ(fitted("", 5, 2), "");
}

TEST(Top, ShowsWhatWasUsedSinceTheScreenBefore) {
  const Json before = Json::parse(R"([{"pid":7,"cpu_s":1.0,"requests":100}])");
  const Json now = Json::parse(R"([{"pid":7,"cpu_s":2.0,"requests":300,"state":"ready","running":1,
    "threads":2,"queued":0,"rss_bytes":1048576,"process_state":"S"},
    {"pid":8,"cpu_s":1,"requests":5}])");
  const std::string screen = screen_of(
      {{"status", Json::object()}, {"workers", now}, {"requests", Json::array()}}, before, 2);
  EXPECT_NE(screen.find("7    ready  1/2   0       300       100    1.0 MB  50%"),
            std::string::npos)
      << screen;
  EXPECT_NE(screen.find("no request is running"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::control
