#include "net/parker.h"

#include <gtest/gtest.h>

#include <thread>

namespace tricorn::net {
namespace {

TEST(Parker, AnUnparkBeforeTheParkIsNotLost) {
  Parker parker;
  parker.unpark();
  parker.park();  // returns at once, or the test hangs
  SUCCEED();
}

TEST(Parker, HandsOverWhatWasWrittenBefore) {
  Parker ping;
  Parker pong;
  int value = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      ping.park();
      ++value;
      pong.unpark();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    ping.unpark();
    pong.park();
    ASSERT_EQ(value, i + 1);
  }
  other.join();
}

}  // namespace
}  // namespace tricorn::net
