#include "arbiter/notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unique_fd.h"

namespace tricorn::arbiter {
namespace {

class NotifierTest : public testing::Test {
 protected:
  void SetUp() override {
    name_ = "@tricorn-notify-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
    manager_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    ASSERT_EQ(::bind(manager_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  std::string heard() {
    char text[512];
    const ssize_t got = ::recv(manager_.get(), text, sizeof text, MSG_DONTWAIT);
    return got < 0 ? "" : std::string(text, static_cast<std::size_t>(got));
  }
  std::string name_;
  base::UniqueFd manager_;
};

TEST_F(NotifierTest, TellsTheManager) {
  Notifier notifier;
  notifier.open(0);
  notifier.tell("READY=1\nSTATUS=Serving");
  EXPECT_EQ(heard(), "READY=1\nSTATUS=Serving");
  notifier.tell_reloading(1'234'567'890);
  EXPECT_EQ(heard(), "RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=Reloading");
}

TEST_F(NotifierTest, BeatsAtHalfOfTheTimeItIsGiven) {
  ::setenv("WATCHDOG_USEC", "2000", 1);
  Notifier notifier;
  notifier.open(0);
  EXPECT_EQ(notifier.beat(5'000'000), 6'000'000);
  EXPECT_EQ(heard(), "WATCHDOG=1");
  EXPECT_EQ(notifier.beat(5'999'999), 6'000'000);
  EXPECT_EQ(heard(), "");
  EXPECT_EQ(notifier.beat(6'000'000), 7'000'000);
  EXPECT_EQ(heard(), "WATCHDOG=1");
}

TEST_F(NotifierTest, BeatsOnlyForItselfAndForTheServerItReplaces) {
  ::setenv("WATCHDOG_USEC", "2000", 1);
  ::setenv("WATCHDOG_PID", "74", 1);
  Notifier other;
  other.open(0);
  EXPECT_EQ(other.beat(0), INT64_MAX);
  Notifier successor;
  successor.open(74);
  EXPECT_NE(successor.beat(1), INT64_MAX);
}

TEST_F(NotifierTest, SaysNothingWithoutAManager) {
  ::unsetenv("NOTIFY_SOCKET");
  Notifier notifier;
  notifier.open(0);
  notifier.tell("READY=1");
  EXPECT_FALSE(notifier.enabled());
  EXPECT_EQ(notifier.beat(1), INT64_MAX);
}

}  // namespace
}  // namespace tricorn::arbiter
