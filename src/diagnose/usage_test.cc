#include "diagnose/usage.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/unique_fd.h"

namespace tricorn::diagnose {
namespace {

TEST(Usage, ReadsStatWhateverTheName) {
  Usage usage;
  parse_usage_stat("77 (a) R (b) S 1 77 77 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 4 0 9", 100,
                   usage);
  EXPECT_EQ(usage.state, 'S');
  EXPECT_EQ(usage.cpu_ns, 1'750'000'000);
}

TEST(Usage, ShortTextsSayNothing) {
  Usage usage;
  parse_usage_stat("77 (a) S 1 77", 100, usage);
  parse_usage_statm("12", 4096, usage);
  EXPECT_EQ(usage.cpu_ns, -1);
  EXPECT_EQ(usage.rss_bytes, -1);
  EXPECT_EQ(usage.state, '?');
}

TEST(Usage, ReadsResidentPages) {
  Usage usage;
  parse_usage_statm("5000 300 100 1 0 200 0", 4096, usage);
  EXPECT_EQ(usage.rss_bytes, 300 * 4096);
}

TEST(Usage, OfThisProcessAndOfNone) {
  EXPECT_GT(usage_of(::getpid()).rss_bytes, 100'000);
  EXPECT_GE(usage_of(::getpid()).cpu_ns, 0);
  EXPECT_EQ(usage_of(-1).rss_bytes, -1);
}

TEST(Usage, FindsTheThreadThatSleepsUninterruptibly) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    // A parent sleeps so until its vfork(2) child ends: the kernel calls that D, though it is
    // killable.
    if (const pid_t child = ::vfork(); child == 0) {
      const pid_t own = ::getpid();
      if (::write(ready[1], &own, sizeof own) != sizeof own) ::_exit(1);
      for (;;) ::pause();
    }
    ::_exit(0);
  }
  pid_t child = 0;
  ASSERT_EQ(::read(ready[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  EXPECT_TRUE(uninterruptible_in(parent));
  EXPECT_FALSE(uninterruptible_in(child));
  ::kill(child, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_FALSE(uninterruptible_in(parent));
}

TEST(Usage, CountsDescriptorsByKind) {
  EXPECT_EQ(descriptors_text(
                {"/a", "/b", "/a", "socket:[1]", "pipe:[2]", "pipe:[3]", "anon_inode:[eventpoll]"}),
            "; open: 3 files (2 of /a), 2 pipes, 1 others, 1 sockets");
  EXPECT_EQ(descriptors_text(std::vector<std::string>()), "");
}

TEST(Usage, FindsTheSocketsAmongTheDescriptors) {
  const base::UniqueFd door(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct stat status {};
  ASSERT_EQ(::fstat(door.get(), &status), 0);
  const auto sockets = sockets_of(::getpid());
  EXPECT_NE(std::find(sockets.begin(), sockets.end(), SocketInode{door.get(), status.st_ino}),
            sockets.end());
}

}  // namespace
}  // namespace tricorn::diagnose
