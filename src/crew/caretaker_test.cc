#include "crew/caretaker.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/unique_fd.h"

namespace tricorn::crew {
namespace {

using heartbeat::Doors;

constexpr std::int64_t kMs = 1'000'000;

struct FakeLoop final : LoopInCare {
  void on_stolen(std::uint32_t lender) override { stolen_from = lender; }
  void set_doors(Doors now) override { doors = now; }
  void ask_doors(Doors now) override { asked = now; }
  int work_loop() override {
    ++worked;
    return 70;
  }
  void return_unbegun(Unbegun& request) override { returned.push_back(&request); }

  std::optional<std::uint32_t> stolen_from;
  std::optional<Doors> asked;
  Doors doors = Doors::Open;
  int worked = 0;
  std::vector<Unbegun*> returned;
};

struct Request final : Unbegun {};

/// Two app threads that have begun to work: the first one leads.
class CaretakerTest : public testing::Test {
 protected:
  CaretakerTest() {
    for (std::uint32_t i = 0; i < kThreads; ++i) page_.slot(i).tid.store(100 + i);
  }

  int attend_at(std::int64_t ms) { return caretaker_.attend(kStartNs + ms * kMs); }
  int attend_until(std::int64_t from_ms, std::int64_t to_ms) {
    int pause_ms = 0;
    for (std::int64_t ms = from_ms; ms <= to_ms; ms += 5) pause_ms = attend_at(ms);
    return pause_ms;
  }
  Member& leader() { return roster_.member(0); }
  Member& other() { return roster_.member(1); }
  /// The leader has called the application.
  void begin_call() {
    roster_.baton().lend(leader().id);
    page_.slot(0).started_ns.store(1);
  }
  /// The other one waits for the GIL with a request.
  void begin_wait(Request& request) { other().waiting.store(&request); }
  void answer_probe() {
    EXPECT_EQ(other().probe.load(), Probe::Asked);
    other().probe.store(Probe::Had);
  }

  static constexpr std::uint32_t kThreads = 2;
  static constexpr std::int64_t kStartNs = 1'000 * kMs;
  const base::UniqueFd fd_{heartbeat::create_page_fd()};
  const heartbeat::Page page_ = heartbeat::Page::create(fd_.get(), kThreads, 10);
  Roster roster_{kThreads};
  FakeLoop loop_;
  Caretaker caretaker_{roster_, page_, loop_};
};

TEST_F(CaretakerTest, ACallThatLastsLosesTheLoopAtTheSecondTick) {
  page_.slot(1).started_ns.store(1);
  begin_call();
  EXPECT_EQ(attend_at(0), 5);
  EXPECT_FALSE(loop_.stolen_from);
  EXPECT_EQ(attend_at(5), 70) << "nobody rests: the loop says when";
  EXPECT_EQ(loop_.stolen_from, 0U);
  EXPECT_TRUE(roster_.baton().held_by(Roster::kSentinel));
  EXPECT_TRUE(caretaker_.runs_loop());
  EXPECT_EQ(loop_.doors, Doors::Busy);
}

TEST_F(CaretakerTest, ManyShortCallsLoseNothing) {
  page_.slot(1).started_ns.store(1);
  for (int ms = 0; ms < 100; ms += 5) {
    roster_.baton().lend(leader().id);
    EXPECT_EQ(attend_at(ms), 5);
    ASSERT_TRUE(roster_.baton().take_back(leader().id));
  }
  EXPECT_FALSE(loop_.stolen_from);
}

TEST_F(CaretakerTest, LooksMoreOftenWhileManyWouldWait) {
  page_.slot(1).started_ns.store(1);
  const auto call = [this](int times) {
    for (int i = 0; i < times; ++i) {
      roster_.baton().lend(leader().id);
      ASSERT_TRUE(roster_.baton().take_back(leader().id));
    }
  };
  call(9);
  EXPECT_EQ(attend_at(0), 5);
  call(10);
  EXPECT_EQ(attend_at(5), 1);
  call(2);
  EXPECT_EQ(attend_at(6), 1);
  call(1);
  EXPECT_EQ(attend_at(7), 5);
  call(9);
  begin_call();
  EXPECT_EQ(attend_at(12), 1);
  attend_at(13);
  EXPECT_EQ(loop_.stolen_from, 0U);
}

TEST_F(CaretakerTest, SleepsWhenNobodyHasCalledForAWhile) {
  roster_.begin_rest(other());
  EXPECT_EQ(attend_until(0, 90), 5);
  EXPECT_EQ(attend_at(95), -1);
  EXPECT_TRUE(roster_.dozing());
}

TEST_F(CaretakerTest, AThreadThatRestsLeadsWhenItHasHadTheGil) {
  roster_.begin_rest(other());
  begin_call();
  attend_at(0);
  EXPECT_EQ(attend_at(5), 1);
  EXPECT_FALSE(roster_.baton().held_by(other().id));
  answer_probe();
  EXPECT_EQ(attend_at(6), 5);
  EXPECT_TRUE(roster_.baton().held_by(other().id));
  EXPECT_EQ(loop_.doors, Doors::Open);
  EXPECT_EQ(loop_.worked, 0);
}

TEST_F(CaretakerTest, WithoutTheGilTheLoopGoesOnBehindClosedDoors) {
  roster_.begin_rest(other());
  begin_call();
  attend_at(0);
  attend_at(5);
  EXPECT_EQ(attend_at(10), 70);
  EXPECT_TRUE(caretaker_.runs_loop());
  EXPECT_EQ(loop_.doors, Doors::Busy);
  EXPECT_TRUE(roster_.baton().held_by(Roster::kSentinel));
  answer_probe();
  attend_at(500);
  EXPECT_TRUE(roster_.baton().held_by(other().id));
}

TEST_F(CaretakerTest, WhoComesToRestMeanwhileHasJustHadTheGil) {
  page_.slot(1).started_ns.store(1);
  begin_call();
  attend_at(0);
  attend_at(5);
  roster_.begin_rest(other());
  EXPECT_EQ(attend_at(20), 5);
  EXPECT_TRUE(roster_.baton().held_by(other().id));
  EXPECT_EQ(loop_.doors, Doors::Open);
  EXPECT_EQ(other().probe.load(), Probe::None);
}

TEST_F(CaretakerTest, ALongWaitForTheGilClosesTheDoorsAndGivesUpItsRequest) {
  Request request;
  begin_wait(request);
  EXPECT_EQ(attend_until(0, 95), 5) << "it does not sleep meanwhile";
  EXPECT_FALSE(loop_.asked);
  EXPECT_TRUE(loop_.returned.empty());
  attend_at(100);
  EXPECT_EQ(loop_.asked, Doors::Stuck);
  EXPECT_EQ(loop_.returned, std::vector<Unbegun*>{&request});
  EXPECT_EQ(other().waiting.load(), nullptr);
  attend_at(105);
  EXPECT_EQ(loop_.returned.size(), 1U);
}

TEST_F(CaretakerTest, TheDoorsOpenAgainWhenTheGilIsBack) {
  attend_until(0, 100);
  EXPECT_EQ(loop_.asked, Doors::Stuck);
  page_.slot(1).started_ns.store(1);
  attend_at(105);
  EXPECT_EQ(loop_.asked, Doors::Open);
}

TEST_F(CaretakerTest, EachRequestHasAWaitOfItsOwn) {
  Request request;
  begin_wait(request);
  attend_until(0, 95);
  page_.slot(1).request_id.fetch_add(1);  // it has had the GIL in between
  attend_until(100, 190);
  EXPECT_TRUE(loop_.returned.empty());
  attend_until(195, 200);
  EXPECT_EQ(loop_.returned.size(), 1U);
}

TEST_F(CaretakerTest, WhoLeadsOrIsInTheApplicationOrHasNotStartedDoesNotWait) {
  page_.slot(1).started_ns.store(1);
  attend_until(0, 200);
  page_.slot(1).started_ns.store(0);
  page_.slot(1).tid.store(0);
  attend_until(205, 400);
  EXPECT_FALSE(loop_.asked);
}

TEST_F(CaretakerTest, TheDoorsStayClosedForALeaderAfterAProbeThatTookLong) {
  roster_.begin_rest(other());
  begin_call();
  attend_until(0, 110);
  EXPECT_EQ(loop_.doors, Doors::Stuck);
  answer_probe();
  attend_at(115);
  EXPECT_TRUE(roster_.baton().held_by(other().id));
  EXPECT_EQ(loop_.doors, Doors::Stuck);
  attend_at(120);
  EXPECT_EQ(loop_.asked, Doors::Open);
}

}  // namespace
}  // namespace tricorn::crew
