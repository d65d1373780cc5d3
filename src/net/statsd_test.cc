#include "net/statsd.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/address.h"

namespace tricorn::net {
namespace {

class StatsdOnUdp : public testing::Test {
 protected:
  void SetUp() override {
    server_.reset(::socket(AF_INET, SOCK_DGRAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(server_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    address_ = "127.0.0.1:" + std::to_string(local_endpoint(server_.get()).port);
  }
  std::string receive() {
    char bytes[512];
    const ssize_t got = ::recv(server_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return {bytes, got > 0 ? static_cast<std::size_t>(got) : 0};
  }
  base::UniqueFd server_;
  std::string address_;
};

TEST_F(StatsdOnUdp, ARequestIsThreeMetrics) {
  Statsd statsd;
  ASSERT_TRUE(statsd.open({address_, "", ""}));
  statsd.request("200", 363'456);
  EXPECT_EQ(receive(), "gunicorn.request.duration:0.363|ms");
  EXPECT_EQ(receive(), "gunicorn.requests:1|c|@1.0");
  EXPECT_EQ(receive(), "gunicorn.request.status.200:1|c|@1.0");
  statsd.timer("t", 12);
  EXPECT_EQ(receive(), "t:12.0|ms");
}

TEST_F(StatsdOnUdp, PrefixAndTags) {
  Statsd statsd;
  ASSERT_TRUE(statsd.open({address_, "pfx", "a:b,c:d"}));
  statsd.gauge("gunicorn.workers", 2);
  EXPECT_EQ(receive(), "pfx.gunicorn.workers:2|g|#a:b,c:d");
  statsd.histogram("gunicorn.backlog", 0);
  EXPECT_EQ(receive(), "pfx.gunicorn.backlog:0|h|#a:b,c:d");
}

TEST_F(StatsdOnUdp, CountsLinesByLevel) {
  Statsd statsd;
  ASSERT_TRUE(statsd.open({address_, "", ""}));
  statsd.line({base::Level::Info, "no"});
  statsd.line({base::Level::Warning, "w"});
  statsd.line({base::Level::Error, "e"});
  statsd.line({base::Level::Error, "x", 0, "Traceback\n"});
  statsd.line({base::Level::Critical, "c"});
  for (const char* name : {"warning", "error", "exception", "critical"})
    EXPECT_EQ(receive(), "gunicorn.log." + std::string(name) + ":1|c|@1.0");
}

TEST(Statsd, IsOffWithoutAnAddressAndNamesOneThatIsWrong) {
  Statsd statsd;
  EXPECT_TRUE(statsd.open({}));
  EXPECT_FALSE(statsd.enabled());
  statsd.request("200", 1);
  const auto failed = statsd.open({"unix:///nowhere/statsd", "", ""});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().text.find("/nowhere/statsd"), std::string::npos);
}

TEST(StatsdPrefix, EndsWithOneDot) {
  EXPECT_EQ(statsd_prefix(""), "");
  EXPECT_EQ(statsd_prefix("p"), "p");  // Gunicorn's pattern wants two characters
  EXPECT_EQ(statsd_prefix("pfx"), "pfx.");
  EXPECT_EQ(statsd_prefix("a.b..."), "a.b.");
}

}  // namespace
}  // namespace tricorn::net
