#include "crew/roster.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace tricorn::crew {
namespace {

bool rung(const Roster& roster) {
  pollfd bell{roster.doorbell().fd(), POLLIN, 0};
  return ::poll(&bell, 1, 0) == 1;
}

TEST(Roster, TheFirstLeads) {
  Roster roster(3);
  EXPECT_EQ(roster.size(), 3U);
  EXPECT_TRUE(roster.baton().held_by(roster.member(0).id));
}

TEST(Roster, WhoeverRestedLastIsCalledFirst) {
  Roster roster(3);
  EXPECT_EQ(roster.take_resting(), nullptr);
  roster.begin_rest(roster.member(1));
  roster.begin_rest(roster.member(2));
  EXPECT_EQ(roster.take_resting(), &roster.member(2));
  EXPECT_FALSE(roster.rests(roster.member(2)));
  EXPECT_EQ(roster.take_resting(), &roster.member(1));
  EXPECT_EQ(roster.take_resting(), nullptr);
}

TEST(Roster, NobodyCallsWhoHasFoundSomethingToDo) {
  Roster roster(2);
  roster.begin_rest(roster.member(1));
  EXPECT_TRUE(roster.rests(roster.member(1)));
  roster.end_rest(roster.member(1));
  EXPECT_EQ(roster.take_resting(), nullptr);
}

TEST(Roster, TheBatonIsThereWhenItsReceiverWakes) {
  Roster roster(2);
  roster.hand_to(roster.member(1));
  roster.member(1).parker.park();  // does not sleep
  EXPECT_TRUE(roster.baton().held_by(roster.member(1).id));
}

TEST(Roster, ALoanWakesTheSentinelOnce) {
  Roster roster(1);
  roster.ring_if_dozing();
  EXPECT_FALSE(rung(roster));
  EXPECT_TRUE(roster.try_doze());
  roster.baton().lend(1);
  roster.ring_if_dozing();
  EXPECT_TRUE(rung(roster));
  EXPECT_FALSE(roster.dozing());
}

TEST(Roster, TheSentinelDoesNotDozeWhileTheBatonIsLent) {
  Roster roster(1);
  roster.baton().lend(1);
  EXPECT_FALSE(roster.try_doze());
  EXPECT_FALSE(roster.dozing());
}

}  // namespace
}  // namespace tricorn::crew
