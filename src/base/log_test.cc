#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace tricorn::base {
namespace {

TEST(FormatLine, IsGunicornsPrefixByteForByte) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(format_line(1795427771, {Level::Info, "Using worker: sync", 14571}),
            "[2026-11-23 09:56:11 +0000] [14571] [INFO] Using worker: sync\n");
}

TEST(LevelFrom, TakesAnyCaseAndFallsBackToInfo) {
  EXPECT_EQ(level_from("Critical"), Level::Critical);
  EXPECT_EQ(level_from("debug"), Level::Debug);
  EXPECT_EQ(level_from("loud"), Level::Info);
}

TEST(FormatJson, HasTheFieldsByTheirNames) {
  const Field fields[] = {{"url.path", "/a\"b"}, {"duration", "1.5", true}};
  EXPECT_EQ(
      format_json({1795427771, 123456789}, {Level::Error, "it broke", 7, "Traceback\n", fields}),
      R"({"timestamp":"2026-11-23T09:56:11.123456Z","severity":"ERROR",)"
      R"("log.logger":"tricorn.error",)"
      R"("process.pid":7,"message":"it broke","exception.stacktrace":"Traceback\n",)"
      R"("url.path":"/a\"b","duration":1.5})"
      "\n");
}

class LogOnPipe : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(ends_, O_NONBLOCK), 0);
    ASSERT_TRUE(log_.open({.path = "/proc/self/fd/" + std::to_string(ends_[1])}));
  }
  void TearDown() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  std::string read_all() {
    std::string seen(1 << 20, '\0');
    const ssize_t got = ::read(ends_[0], seen.data(), seen.size());
    seen.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return seen;
  }
  int ends_[2] = {-1, -1};
  Log log_;
};

TEST_F(LogOnPipe, AFullPipeCostsLinesAndTheCountIsReportedOnce) {
  const std::string long_message(1000, 'x');
  for (int i = 0; i < 1000; ++i) log_.info(long_message);  // must not block
  EXPECT_TRUE(log_.behind());
  std::string rest;
  for (int i = 0; i < 50 && log_.behind(); ++i) {
    rest = read_all();
    log_.flush();
  }
  rest += read_all();
  EXPECT_FALSE(log_.behind());
  const std::size_t note = rest.find("] [WARNING] Log reader too slow: ");
  ASSERT_NE(note, std::string::npos);
  EXPECT_EQ(rest.find("lines dropped", note + 80), std::string::npos);
  log_.info("after");
  EXPECT_NE(read_all().find("after"), std::string::npos);
}

TEST_F(LogOnPipe, ATracebackComesWithItsLineInOneWrite) {
  log_.write({Level::Error, "it broke", 0, "Traceback\n  File\n"});
  const std::string seen = read_all();
  EXPECT_NE(seen.find("[ERROR] it broke\nTraceback\n  File\n"), std::string::npos) << seen;
}

TEST_F(LogOnPipe, TellsASinkAndACounterOfWhatIsLoggedOnly) {
  struct Sink : LineSink {
    explicit Sink(std::string& into) : seen(into) {}
    void take(const Record& record) override { seen += std::string(record.message) + ";"; }
    bool flush() override { return true; }
    std::string complaint() override { return {}; }
    std::string& seen;
  };
  std::string seen;
  int counted = 0;
  log_.set_sink(std::make_unique<Sink>(seen));
  log_.on_line([&](const Record&) { ++counted; });
  log_.debug("no");
  log_.error("yes");
  EXPECT_EQ(seen, "yes;");
  EXPECT_EQ(counted, 1);
}

TEST_F(LogOnPipe, LinesGoToTheChannelAndHereWhenItIsFull) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  const UniqueFd reader(pair[0]);
  log_.divert(UniqueFd(pair[1]));
  log_.write({Level::Error, "it \"broke\"", 7, "tail\n"});
  char bytes[4096];
  const auto receive = [&] {
    const ssize_t got = ::recv(reader.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return std::string(bytes, got > 0 ? static_cast<std::size_t>(got) : 0);
  };
  EXPECT_EQ(receive(),
            R"({"pid":7,"level":40,"message":"it \"broke\"","tail":"tail\n","undelivered":0})");
  int here = 0;
  for (; here == 0 || read_all().empty(); ++here) log_.info("more");
  while (!receive().empty()) continue;
  log_.info("flows again");
  EXPECT_NE(receive().find("\"undelivered\":1}"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::base
