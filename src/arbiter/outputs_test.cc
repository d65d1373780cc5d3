#include "arbiter/outputs.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

constexpr const char* kFound =
    R"({"numbers": {"logs": "10.0.0.1", "six": "2001:db8::1", "::1": "::1"},
        "reasons": {"gone": "Name or service not known"}})";

Options to(const char* syslog, const char* statsd) {
  Options options;
  options.syslog.address = syslog;
  options.statsd.address = statsd;
  return options;
}

TEST(OutputHosts, AreThoseThatWouldBeLookedUp) {
  EXPECT_EQ(hosts_of(to("udp://logs:514", "stats:8125")),
            (std::vector<std::string>{"logs", "stats"}));
  EXPECT_EQ(hosts_of(to("tcp://[::1]:514", "")), std::vector<std::string>{"::1"});
  EXPECT_TRUE(hosts_of(to("unix:///dev/log#dgram", "unix:///run/statsd")).empty());
  Options by_python = to("udp://logs:514", "");
  by_python.python_log = true;
  EXPECT_TRUE(hosts_of(by_python).empty());
}

TEST(OutputHosts, GetTheirNumbers) {
  Options options = to("udp://logs:514", "six:8125");
  ASSERT_TRUE(use_numbers(options, kFound));
  EXPECT_EQ(options.syslog.address, "udp://10.0.0.1:514");
  EXPECT_EQ(options.statsd.address, "[2001:db8::1]:8125");
  options = to("tcp://[::1]:514", "unix:///run/statsd");
  ASSERT_TRUE(use_numbers(options, kFound));
  EXPECT_EQ(options.syslog.address, "tcp://[::1]:514");
  EXPECT_EQ(options.statsd.address, "unix:///run/statsd");
}

TEST(OutputHosts, RefuseSyslogAndWarnOfStatsd) {
  Options options = to("udp://gone", "");
  const auto used = use_numbers(options, kFound);
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().text, "syslog_addr: gone: Name or service not known");
  options = to("", "gone:8125");
  ASSERT_TRUE(use_numbers(options, kFound));
  EXPECT_TRUE(options.statsd.address.empty());
  EXPECT_EQ(options.warnings,
            std::vector<std::string>{"statsd_host: gone: Name or service not known"});
}

}  // namespace
}  // namespace tricorn::arbiter
