#include "diagnose/busy_places.h"

#include <gtest/gtest.h>

namespace tricorn::diagnose {
namespace {

const PythonFrame kBoot = {"/usr/lib/python3.11/site-packages/tricorn/boot.py", "_boot_and_serve",
                           97};

TEST(BusyPlaces, TheMostFrequentIsFirst) {
  BusyPlaces places("/srv");
  EXPECT_EQ(places.text(), "");
  places.add({});
  places.add({{"/srv/app.py", "view", 20}});
  places.add({{"/usr/lib/python3.11/json.py", "loads", 3}, {"/srv/app.py", "sleep", 159}});
  places.add({{"/srv/app.py", "sleep", 159}});
  EXPECT_EQ(places.text(), "2 x app.py:159 in sleep, 1 x app.py:20 in view");
}

TEST(BusyPlaces, AThreadThatSendsAnAnswerIsInNoLineOfTheApplication) {
  BusyPlaces places("/srv");
  places.add({kBoot});
  EXPECT_EQ(places.text(), "1 x the server itself");
}

TEST(BusyPlaces, NoMoreThanThreeAreShown) {
  BusyPlaces places("/srv");
  for (int line = 1; line <= 4; ++line) places.add({{"/srv/app.py", "view", line}});
  EXPECT_EQ(places.text(),
            "1 x app.py:4 in view, 1 x app.py:3 in view, 1 x app.py:2 in view, and others");
}

}  // namespace
}  // namespace tricorn::diagnose
