#include "net/written.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "base/unique_fd.h"

namespace tricorn::net {
namespace {

struct TcpPair {
  base::UniqueFd client;
  base::UniqueFd server;
};

TcpPair tcp_pair() {
  const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  TcpPair pair;
  pair.client.reset(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(::connect(pair.client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  pair.server.reset(::accept(listener.get(), nullptr, nullptr));
  return pair;
}

TEST(BytesWritten, CountsFromTheFirstByteOfAnAcceptedConnection) {
  const TcpPair pair = tcp_pair();
  EXPECT_EQ(bytes_written(pair.server.get()), 0U);
  ASSERT_EQ(::send(pair.server.get(), "hello", 5, 0), 5);
  EXPECT_EQ(bytes_written(pair.server.get()), 5U);
  char into[8];
  ASSERT_EQ(::recv(pair.client.get(), into, sizeof into, 0), 5);
  ASSERT_EQ(::send(pair.client.get(), "a request", 9, 0), 9);  // what is read does not count
  EXPECT_EQ(bytes_written(pair.server.get()), 5U);
}

TEST(BytesWritten, CountsWhatTheClientHasNotTaken) {
  const TcpPair pair = tcp_pair();
  const std::string much(1 << 20, 'x');
  std::uint64_t taken = 0;
  for (ssize_t now = 0; now >= 0; taken += static_cast<std::uint64_t>(std::max<ssize_t>(now, 0)))
    now = ::send(pair.server.get(), much.data(), much.size(), MSG_DONTWAIT);
  EXPECT_GT(taken, 0U);
  EXPECT_EQ(bytes_written(pair.server.get()), taken);
}

TEST(BytesWritten, IsUnknownWhereThereIsNoTcp) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const base::UniqueFd one(ends[0]);
  const base::UniqueFd other(ends[1]);
  ASSERT_EQ(::send(ends[0], "hello", 5, 0), 5);
  EXPECT_EQ(bytes_written(ends[0]), std::nullopt);
  EXPECT_EQ(bytes_written(-1), std::nullopt);
}

}  // namespace
}  // namespace tricorn::net
