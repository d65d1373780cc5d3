#include "arbiter/inheritance.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "arbiter/listeners.h"

namespace tricorn::arbiter {
namespace {

class TakeInheritance : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {kOldArbiterVariable, kListenersVariable, kManagedPidVariable,
                             kManagedCountVariable, kOtherArbiterVariable})
      ::unsetenv(name);
  }
};

TEST_F(TakeInheritance, IsNothingInAnEmptyEnvironment) {
  const auto inherited = take_inheritance();
  ASSERT_TRUE(inherited);
  EXPECT_EQ(inherited->old_arbiter, 0);
  EXPECT_TRUE(inherited->fds.empty());
  EXPECT_EQ(inherited->other_arbiter, -1);
}

TEST_F(TakeInheritance, TakesWhatAnArbiterLeftAndForgetsAllButItsPid) {
  ::setenv(kOldArbiterVariable, "74", 1);
  ::setenv(kListenersVariable, "3,4", 1);
  ::setenv(kOtherArbiterVariable, "5", 1);
  const auto inherited = take_inheritance();
  ASSERT_TRUE(inherited);
  EXPECT_EQ(inherited->old_arbiter, 74);
  EXPECT_EQ(inherited->fds, (std::vector<int>{3, 4}));
  EXPECT_EQ(inherited->other_arbiter, 5);
  EXPECT_FALSE(inherited->managed);
  EXPECT_STREQ(std::getenv(kOldArbiterVariable), "74");
  EXPECT_EQ(std::getenv(kListenersVariable), nullptr);
  EXPECT_EQ(std::getenv(kOtherArbiterVariable), nullptr);
}

TEST_F(TakeInheritance, TakesTheSocketsOfAServiceManagerForThisProcessOnly) {
  ::setenv(kManagedPidVariable, std::to_string(::getpid()).c_str(), 1);
  ::setenv(kManagedCountVariable, "2", 1);
  auto inherited = take_inheritance();
  ASSERT_TRUE(inherited);
  EXPECT_EQ(inherited->fds, (std::vector<int>{3, 4}));
  EXPECT_TRUE(inherited->managed);
  EXPECT_EQ(std::getenv(kManagedCountVariable), nullptr);
  ::setenv(kManagedPidVariable, "1", 1);
  ::setenv(kManagedCountVariable, "2", 1);
  inherited = take_inheritance();
  ASSERT_TRUE(inherited);
  EXPECT_TRUE(inherited->fds.empty());
  EXPECT_STREQ(std::getenv(kManagedCountVariable), "2") << "it is somebody else's";
}

TEST_F(TakeInheritance, NamesTheVariableThatMakesNoSense) {
  ::setenv(kOldArbiterVariable, "74", 1);
  ::setenv(kListenersVariable, "3,four", 1);
  const auto inherited = take_inheritance();
  ASSERT_FALSE(inherited);
  EXPECT_EQ(inherited.error().text, "GUNICORN_FD: 'four' is no number");
}

TEST(AdoptListener, RefusesWhatDoesNotListen) {
  base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_FALSE(adopt_listener(std::move(socket)));
}

TEST(AdoptListener, KnowsThePathItWillHaveToUnlink) {
  auto bound = bind_listener("unix:@tricorn-test-" + std::to_string(::getpid()), {});
  ASSERT_TRUE(bound) << bound.error().text;
  EXPECT_EQ(bound->unix_path, "") << "an abstract name is no file";
  const std::string name = bound->name;
  auto adopted = adopt_listener(std::move(bound->fd));
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->name, name);
  EXPECT_EQ(adopted->unix_path, "");
  const std::string path = testing::TempDir() + "/tricorn-socket-" + std::to_string(::getpid());
  bound = bind_listener("unix:" + path, {});
  ASSERT_TRUE(bound) << bound.error().text;
  adopted = adopt_listener(std::move(bound->fd));
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->unix_path, path);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace tricorn::arbiter
