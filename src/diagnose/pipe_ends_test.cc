#include "diagnose/pipe_ends.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "diagnose/database_file.h"
#include "diagnose/peer.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// Another process that has done something and then keeps still, until it goes out of scope.
class Other {
 public:
  explicit Other(const std::function<void()>& act) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid = ::fork();
    if (pid == 0) {
      act();
      static_cast<void>(::write(ready[1], "x", 1));
      for (;;) ::pause();
    }
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Other() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  pid_t pid = 0;
};

base::UniqueFd own_process() {
  return base::UniqueFd(::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string fresh_path(const char* name) {
  return std::filesystem::temp_directory_path() / fmt::format("tricorn-{}-{}", name, ::getpid());
}

TEST(OtherEnd, IsTheProcessThatHasIt) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd reading(ends[0]), writing(ends[1]);
  const auto process = own_process();
  auto peer = peer_of_descriptor(process.get(), reading.get());
  ASSERT_TRUE(peer);
  find_other_end(process.get(), true, *peer);
  EXPECT_EQ(peer->other_end, 0) << "nobody but this process has it";
  const Other writer([&] { ::close(reading.get()); });
  find_other_end(process.get(), true, *peer);
  EXPECT_EQ(peer->other_end, writer.pid);
  EXPECT_EQ(peer->other_program, "diagnose_test");
  EXPECT_FALSE(peer->more_ends);
  peer->other_end = 0;
  find_other_end(process.get(), false, *peer);
  EXPECT_EQ(peer->other_end, 0) << "it has no end to read from";
}

TEST(OtherEnd, SeveralAreSaidToBe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd reading(ends[0]), writing(ends[1]);
  const Other first([] {}), second([] {});
  const auto process = own_process();
  auto peer = peer_of_descriptor(process.get(), writing.get());
  ASSERT_TRUE(peer);
  find_other_end(process.get(), false, *peer);
  EXPECT_TRUE(peer->more_ends);
}

TEST(OtherEnd, OfANamedPipeToo) {
  const std::string path = fresh_path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const base::UniqueFd reading(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Other writer([&] { static_cast<void>(::open(path.c_str(), O_WRONLY)); });
  const auto process = own_process();
  auto peer = peer_of_descriptor(process.get(), reading.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->kind, Peer::Kind::Pipe);
  EXPECT_EQ(peer->address, path);
  find_other_end(process.get(), true, *peer);
  EXPECT_EQ(peer->other_end, writer.pid);
  std::filesystem::remove(path);
}

bool lock(const std::string& path) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return ::fcntl(fd, F_SETLK, &whole) == 0;  // stays open: its end lets the lock go
}

TEST(ContendedDatabase, IsTheFileThatAnotherProcessHasLocked) {
  const std::string path = fresh_path("shop.db");
  const base::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const auto process = own_process();
  EXPECT_EQ(contended_database(process.get()).address, "");
  const Other holder([&] { lock(path); });
  const Peer peer = contended_database(process.get());
  EXPECT_EQ(peer.service, kSqlite);
  EXPECT_EQ(peer.address, path);
  EXPECT_EQ(peer.holder, holder.pid);
  std::filesystem::remove(path);
}

TEST(ContendedDatabase, MayBeLockedByTheWorkerItself) {
  const std::string path = fresh_path("own.db");
  ASSERT_TRUE(lock(path));
  const auto process = own_process();
  EXPECT_EQ(contended_database(process.get()).address, path);
  EXPECT_EQ(contended_database(process.get()).holder, ::getpid());
  std::filesystem::remove(path);
}

TEST(ContendedDatabase, IsNamedByItsMainFile) {
  EXPECT_EQ(database_of("/srv/shop.db-shm"), "/srv/shop.db");
  EXPECT_EQ(database_of("/srv/shop.db"), "/srv/shop.db");
}

TEST(InSqlite, WhenItIsNearerThanTheInterpreter) {
  constexpr std::string_view maps =
      "5000-6000 r-xp 00000000 08:01 9 /usr/lib/libc.so.6\n"
      "6000-7000 r-xp 00000000 08:01 9 /usr/lib/libsqlite3.so.0.8.6\n"
      "7000-8000 r-xp 00000000 08:01 9 /usr/lib/libpython3.11.so.1.0\n";
  EXPECT_TRUE(is_in_sqlite(maps, {1, 0x5100, 0x6100, 0, 0x6200, 0x6300, 0x7100}));
  EXPECT_TRUE(is_in_sqlite(maps, {1, 0x5100, 0x6100, 0, 0x6200, 0x6300})) << "no further up";
  EXPECT_FALSE(is_in_sqlite(maps, {1, 0x5100, 0x7100, 0x6100, 0x6200, 0x6300}))
      << "a function that SQL calls";
  EXPECT_FALSE(is_in_sqlite(maps, {1, 0x5100, 0x6100, 0x7100, 0x6200, 0x6300}))
      << "a word that a call of SQLite's has left behind";
  EXPECT_FALSE(is_in_sqlite(maps, {1, 0x5100, 0x7100}));
  EXPECT_FALSE(is_in_sqlite(maps, {}));
}

}  // namespace
}  // namespace tricorn::diagnose
