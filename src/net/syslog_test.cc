#include "net/syslog.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/testing/temporary_folder.h"

namespace tricorn::net {
namespace {

using base::Level;

class SyslogOnUnix : public testing::Test {
 protected:
  void listen_as(int type) {
    server_.reset(::socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(::bind(server_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(::listen(server_.get(), 1), 0);
    }
  }
  static std::string receive(int fd) {
    char bytes[4096];
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return {bytes, got > 0 ? static_cast<std::size_t>(got) : 0};
  }
  std::unique_ptr<Syslog> open(const std::string& suffix = "") {
    auto opened = Syslog::open({"unix://" + path_ + suffix, "local1", "gunicorn.app.error"});
    EXPECT_TRUE(opened);
    return opened ? std::move(*opened) : nullptr;
  }
  const base::TemporaryFolder folder_;
  const std::string path_ = folder_.path() / "log";
  base::UniqueFd server_;
};

TEST_F(SyslogOnUnix, ADatagramALine) {
  listen_as(SOCK_DGRAM);
  const auto syslog = open("#dgram");
  syslog->take({Level::Error, "it broke", 7, "Traceback\n"});
  using std::literals::operator""s;
  EXPECT_EQ(receive(server_.get()), "<139>gunicorn.app.error: [7] it broke\nTraceback\0"s);
}

TEST_F(SyslogOnUnix, AStreamWhenThereIsNoDatagramSocket) {
  listen_as(SOCK_STREAM);
  const auto syslog = open();
  syslog->take({Level::Info, "one", 7});
  syslog->take({Level::Critical, "two", 7});
  const base::UniqueFd peer(::accept(server_.get(), nullptr, nullptr));
  using std::literals::operator""s;
  EXPECT_EQ(receive(peer.get()),
            "<142>gunicorn.app.error: [7] one\0<138>gunicorn.app.error: [7] two\0"s);
}

TEST_F(SyslogOnUnix, OneThatDoesNotReadCostsLines) {
  listen_as(SOCK_DGRAM);
  const auto syslog = open();
  const std::string message(1000, 'x');
  int taken = 0;
  for (int i = 0; i < 1000; ++i) syslog->take({Level::Info, message, 7});  // returns
  EXPECT_FALSE(syslog->flush());
  EXPECT_EQ(syslog->complaint(), "") << "it does not take lines yet";
  for (int i = 0; i < 2000 && !syslog->flush(); ++i) {
    while (!receive(server_.get()).empty()) ++taken;
  }
  while (!receive(server_.get()).empty()) ++taken;
  EXPECT_EQ(syslog->complaint(),
            "Syslog too slow: " + std::to_string(1000 - taken) + " lines dropped");
  EXPECT_EQ(syslog->complaint(), "");
}

TEST_F(SyslogOnUnix, OneThatIsNotThereYetIsNoError) { EXPECT_NE(open(), nullptr); }

TEST(Syslog, NamesWhatIsWrong) {
  const auto text = [](const char* address, const char* facility) {
    auto opened = Syslog::open({address, facility, "x"});
    return opened ? std::string("accepted") : opened.error().text;
  };
  EXPECT_EQ(text("zork", "user"), "invalid syslog address");
  EXPECT_EQ(text("http://x", "user"), "invalid syslog address");
  EXPECT_EQ(text("udp://h:port", "user"), "'port' is not a valid port number.");
  EXPECT_EQ(text("udp://127.0.0.1:514", "zork"), "unknown facility name");
  EXPECT_EQ(text("udp://[::1]:514", "LOCAL7"), "accepted");
}

}  // namespace
}  // namespace tricorn::net
