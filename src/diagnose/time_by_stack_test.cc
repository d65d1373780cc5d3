#include "diagnose/time_by_stack.h"

#include <gtest/gtest.h>

namespace tricorn::diagnose {
namespace {

const Stack kSleep = {{"/srv/app.py", "sleep", 159}, {"/usr/lib/python3.11/wsgi.py", "call", 9}};
const Stack kLibrary = {{"/usr/lib/python3.11/json.py", "loads", 3}, {"/srv/app.py", "view", 170}};

TEST(Collapsed, OutermostFirstAndOneLine) {
  EXPECT_EQ(collapsed(kSleep), "call (/usr/lib/python3.11/wsgi.py:9);sleep (/srv/app.py:159)");
  EXPECT_EQ(collapsed({{"a;b\n.py", "f;g", 1}}), "f_g (a_b_.py:1)");
  EXPECT_EQ(collapsed({}), kNoPython);
}

TEST(TimeByStack, SharesAreOfTheApplicationsLines) {
  TimeByStack time("/srv");
  time.add(kSleep, 600);
  time.add(kSleep, 210);
  time.add(kLibrary, 150);
  time.add({}, 30);
  time.add({{"/usr/lib/python3.11/site-packages/tricorn/boot.py", "_boot_and_serve", 176}}, 10);
  EXPECT_EQ(time.total_ms(), 1000);
  EXPECT_EQ(time.stacks().at(collapsed(kSleep)), 810);
  EXPECT_EQ(shares_text(time.places(4)),
            "81% at app.py:159 in sleep, 15% at app.py:170 in view, 3% at (no Python code), 1% at "
            "(the server itself)");
  EXPECT_EQ(time.places(1).size(), 1U);
}

TEST(TimeByStack, NamesWhoWasSeen) {
  TimeByStack time;
  time.add({{"a.py", "f", 1}}, 10, "worker 7;app-1");
  EXPECT_EQ(time.stacks().begin()->first, "worker 7_app-1;f (a.py:1)");
}

TEST(TimeByStack, KeepsSoManyAndLosesNoTime) {
  TimeByStack time;
  for (int line = 0; line < static_cast<int>(kStacksKept) + 5; ++line)
    time.add({{"a.py", "f", line}}, 1);
  EXPECT_EQ(time.stacks().size(), kStacksKept + 1);
  EXPECT_EQ(time.stacks().at(std::string(kOtherStacks)), 5);
  EXPECT_EQ(time.total_ms(), static_cast<std::int64_t>(kStacksKept) + 5);
}

TEST(TimeByStack, NothingSeenIsSaid) {
  EXPECT_EQ(shares_text(TimeByStack().places(3)), "no Python code seen");
}

}  // namespace
}  // namespace tricorn::diagnose
