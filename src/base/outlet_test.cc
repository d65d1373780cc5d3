#include "base/outlet.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/testing/temporary_folder.h"

namespace tricorn::base {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    if (::pipe(ends) != 0) ::perror("pipe");
    reader.reset(ends[0]);
    writer.reset(ends[1]);
    ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  }
  [[nodiscard]] std::string read_all() const {
    std::string all;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(reader.get(), buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }
  UniqueFd reader;
  UniqueFd writer;
};

std::string contents(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

class InFolder : public testing::Test {
 protected:
  [[nodiscard]] std::string in(const char* name) const { return folder_.path() / name; }

 private:
  const TemporaryFolder folder_;
};
using OutletFile = InFolder;

// What a reader that stops gets when it reads again: the oldest lines whole, then what is new.
void expect_bounded(Outlet& outlet, const std::function<std::string()>& read_all) {
  const std::string line = std::string(999, 'x') + "\n";
  for (int i = 0; i < 2000; ++i) outlet.write(line);  // returns: 2 MB nobody reads
  EXPECT_TRUE(outlet.behind());
  EXPECT_EQ(outlet.take_dropped(), 0U) << "the reader does not take lines yet";
  std::string seen;
  for (int i = 0; i < 100 && !outlet.flush(); ++i) seen += read_all();
  seen += read_all();
  const std::uint64_t dropped = outlet.take_dropped();
  EXPECT_GT(dropped, 0U);
  EXPECT_EQ(seen.size() / line.size() + dropped, 2000U);
  EXPECT_EQ(seen.size() % line.size(), 0U);
  EXPECT_FALSE(outlet.behind());
  outlet.write("after\n");
  EXPECT_EQ(read_all(), "after\n");
}

TEST(Outlet, AFullPipeCostsTheNewestLines) {
  const Pipe pipe;
  Outlet outlet;
  outlet.share(pipe.writer.get());
  EXPECT_EQ(::fcntl(pipe.writer.get(), F_GETFL) & O_NONBLOCK, 0) << "others share this descriptor";
  expect_bounded(outlet, [&] { return pipe.read_all(); });
}

TEST(Outlet, AFullSocketCostsTheNewestLines) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  Outlet outlet;
  outlet.share(writer.get());
  expect_bounded(outlet, [&] {
    std::string all;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::recv(reader.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    return all;
  });
}

TEST(Outlet, AReaderThatIsGoneCostsLinesAndNoNoise) {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  Outlet outlet;
  outlet.share(pipe.writer.get());
  pipe.reader.reset();
  outlet.write("one\n");
  EXPECT_FALSE(outlet.behind()) << "nobody needs to try again";
  EXPECT_EQ(outlet.take_dropped(), 0U);
}

TEST(Outlet, LinesOfTwoWritersAreNotTorn) {
  const Pipe pipe;
  ::fcntl(pipe.writer.get(), F_SETPIPE_SZ, 16 * 1024);  // so that both are held up all the time
  Outlet first;
  Outlet second;
  first.share(pipe.writer.get());
  second.share(pipe.writer.get());
  const std::string a = std::string(700, 'a') + "\n";
  const std::string b = std::string(1100, 'b') + "\n";
  std::string seen;
  for (int i = 0; i < 400; ++i) {
    first.write(a + a);
    second.write(b);
    if (i % 7 == 0) seen += pipe.read_all();
  }
  while (!first.flush() || !second.flush()) seen += pipe.read_all();
  seen += pipe.read_all();
  std::istringstream lines(seen);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    ASSERT_TRUE(line + "\n" == a || line + "\n" == b) << "line " << count << ": " << line;
  EXPECT_EQ(count, 1200);
}

TEST(Outlet, LinesThatFindRoomAtTheLastMomentStayAsTheyAre) {
  const Pipe pipe;
  ::fcntl(pipe.writer.get(), F_SETPIPE_SZ, 4096);
  Outlet outlet;
  outlet.share(pipe.writer.get());
  const std::string line = std::string(1023, 'x') + "\n";
  std::string written;
  for (; written.size() + line.size() <= kOutletPendingMax; written += line) outlet.write(line);
  ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
  std::string many;  // more than is kept beside what is pending, yet the pipe has room for all
  for (int i = 0; i < 16; ++i) many += line;
  outlet.write(many);
  EXPECT_EQ(pipe.read_all(), written + many);
  EXPECT_EQ(outlet.take_dropped(), 0U);
}

TEST(Outlet, ALineLongerThanPipeBufIsOneWrite) {
  const Pipe pipe;
  Outlet outlet;
  outlet.share(pipe.writer.get());
  const std::string line = std::string(3 * PIPE_BUF, 'x') + "\n";
  outlet.write(line + "short\n");
  EXPECT_EQ(pipe.read_all(), line + "short\n");
}

TEST_F(OutletFile, AppendsAndFollowsARename) {
  Outlet outlet;
  ASSERT_TRUE(outlet.open_file(in("log")));
  outlet.write("one\n");
  ASSERT_EQ(::rename(in("log").c_str(), in("log.1").c_str()), 0);
  outlet.write("two\n");
  const int number = outlet.fd();
  ASSERT_TRUE(outlet.reopen());
  EXPECT_EQ(outlet.fd(), number);
  outlet.write("three\n");
  EXPECT_EQ(contents(in("log.1")), "one\ntwo\n");
  EXPECT_EQ(contents(in("log")), "three\n");
}

TEST_F(OutletFile, ASharedFileKeepsItsOffset) {
  const UniqueFd file(::open(in("log").c_str(), O_WRONLY | O_CREAT, 0600));  // as a shell's 2>log
  Outlet outlet;
  outlet.share(file.get());
  outlet.write("ours\n");
  ASSERT_EQ(::write(file.get(), "theirs\n", 7), 7);
  outlet.write("ours\n");
  EXPECT_EQ(contents(in("log")), "ours\ntheirs\nours\n");
}

TEST_F(OutletFile, IsCreatedAsTheUmaskSaysAndNamedWhenItCannotBe) {
  const mode_t before = ::umask(027);
  Outlet outlet;
  ASSERT_TRUE(outlet.open_file(in("log")));
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(in("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
  const auto failed = outlet.open_file(in("no/log"));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().text.find(in("no/log")), std::string::npos);
}

}  // namespace
}  // namespace tricorn::base
