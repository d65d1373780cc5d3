#include "arbiter/pidfile.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace tricorn::arbiter {
namespace {

class PidfileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/tricorn-pid-" + std::to_string(::getpid());
    second_ = path_ + ".2";
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::unlink(second_.c_str());
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string own_ = std::to_string(::getpid()) + "\n";
  std::string path_;
  std::string second_;
};

TEST_F(PidfileTest, HoldsThePidForEverybodyToReadAndGoesWithUs) {
  {
    Pidfile pidfile;
    ASSERT_TRUE(pidfile.create(path_));
    EXPECT_EQ(text_of(path_), own_);
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0644U);
  }
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST_F(PidfileTest, RefusesALivingServersFileInGunicornsWords) {
  std::ofstream(path_) << 1 << "\n";
  Pidfile pidfile;
  const auto created = pidfile.create(path_);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().text,
            "Already running on PID 1 (or pid file '" + path_ + "' is stale)");
  pidfile.remove();
  EXPECT_EQ(text_of(path_), "1\n") << "another server's file is not ours to remove";
}

TEST_F(PidfileTest, TakesAStaleOrEmptyFile) {
  for (const char* content : {"4194303\n", "", "no pid", "-7"}) {
    std::ofstream(path_) << content;
    Pidfile pidfile;
    ASSERT_TRUE(pidfile.create(path_)) << content;
    EXPECT_EQ(text_of(path_), own_);
  }
}

TEST_F(PidfileTest, TakesTheFileOfAServerNobodyHasWaitedForYet) {
  const pid_t ended = ::fork();
  if (ended == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(ended), &info, WEXITED | WNOWAIT), 0);
  std::ofstream(path_) << ended << "\n";
  Pidfile pidfile;
  EXPECT_TRUE(pidfile.create(path_));
  ::waitpid(ended, nullptr, 0);
}

TEST_F(PidfileTest, MovesWhenTheServerIsPromoted) {
  Pidfile pidfile;
  ASSERT_TRUE(pidfile.create(second_));
  ASSERT_TRUE(pidfile.move_to(path_));
  EXPECT_EQ(text_of(path_), own_);
  EXPECT_NE(::access(second_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace tricorn::arbiter
