#include "net/baton.h"

#include <gtest/gtest.h>

#include <thread>

namespace tricorn::net {
namespace {

TEST(Baton, ComesBackToItsLenderWhenNobodyWantsIt) {
  Baton baton(1);
  baton.lend(1);
  EXPECT_EQ(baton.lender(), 1U);
  EXPECT_TRUE(baton.take_back(1));
  EXPECT_TRUE(baton.held_by(1));
  EXPECT_EQ(baton.lender(), 0U);
}

TEST(Baton, AStolenBatonDoesNotComeBack) {
  Baton baton(1);
  baton.lend(1);
  EXPECT_TRUE(baton.try_steal(1, 2));
  EXPECT_FALSE(baton.take_back(1));
  EXPECT_TRUE(baton.held_by(2));
}

TEST(Baton, AHeldBatonCannotBeStolen) {
  Baton baton(1);
  EXPECT_FALSE(baton.try_steal(1, 2));
  EXPECT_TRUE(baton.held_by(1));
}

TEST(Baton, CountsLoans) {
  Baton baton(1);
  baton.lend(1);
  ASSERT_TRUE(baton.take_back(1));
  baton.lend(1);
  EXPECT_EQ(baton.loans(), 2U);
}

// Thread sanitizer is the judge here: `guarded` has no lock but the baton.
TEST(Baton, GuardsWhatItsHoldersWrite) {
  Baton baton(1);
  std::uint64_t guarded = 0;
  std::uint64_t stolen = 0;
  std::thread thief([&] {
    for (;;) {
      if (!baton.try_steal(1, 2)) continue;
      const bool done = guarded >= 20'000;
      ++guarded;
      ++stolen;
      baton.give(1);
      if (done) return;
    }
  });
  std::uint64_t own = 0;
  while (thief.joinable()) {
    if (baton.held_by(1)) {
      ++guarded;
      ++own;
      const bool enough = own >= 30'000 && stolen > 0;
      baton.lend(1);
      if (enough && guarded > 20'000) {
        thief.join();
        break;
      }
    }
    if (!baton.take_back(1)) {
      while (!baton.held_by(1)) std::this_thread::yield();
    }
  }
  EXPECT_EQ(guarded, own + stolen);
}

}  // namespace
}  // namespace tricorn::net
