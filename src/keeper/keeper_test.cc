#include "keeper/keeper.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "heartbeat/wire.h"

namespace tricorn::keeper {
namespace {

using heartbeat::Verb;

/// A client, and a worker that has written `bytes` to it and was then killed with SIGKILL: only its
/// keeper is left. This process plays the arbiter.
class DeadWorker : public ::testing::Test {
 protected:
  void SetUp() override {
    connect_client();
    base::UniqueFd keepers_end;
    ASSERT_TRUE(heartbeat::socket_pair(keeper_, keepers_end));
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    worker_ = ::fork();
    ASSERT_GE(worker_, 0);
    if (worker_ == 0) {
      keeper_.reset();
      const pid_t keeper = start(keepers_end.get());
      const bool told = ::write(ready[1], &keeper, sizeof keeper) == sizeof keeper;
      if (told) ::pause();
      ::_exit(1);
    }
    ASSERT_EQ(::read(ready[0], &keeper_pid_, sizeof keeper_pid_), ssize_t{sizeof keeper_pid_});
    ::close(ready[0]);
    ::close(ready[1]);
    ASSERT_GT(keeper_pid_, 0);
  }

  void TearDown() override {
    keeper_.reset();
    ::waitpid(keeper_pid_, nullptr, 0);
  }

  void kill_worker_after_writing(const std::string& bytes) {
    ASSERT_EQ(::write(connection_.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    ::kill(worker_, SIGKILL);
    ::waitpid(worker_, nullptr, 0);
  }

  /// @return whether the connection came back
  bool settle(std::uint64_t begin, std::uint64_t end, const std::string& answer) {
    const int fd = connection_.get();
    connection_.reset();
    std::string payload(reinterpret_cast<const char*>(&begin), sizeof begin);
    payload.append(reinterpret_cast<const char*>(&end), sizeof end).append(answer);
    return order(Verb::Settle, fd, payload);
  }

  /// @return whether a descriptor came back
  bool order(Verb verb, int fd, const std::string& payload) {
    EXPECT_TRUE(
        heartbeat::send_message(keeper_.get(), verb, fd, payload.data(), payload.size(), -1, 0));
    heartbeat::Message done;
    EXPECT_EQ(heartbeat::receive_message(keeper_.get(), done, back_, 0),
              heartbeat::Received::Message);
    EXPECT_EQ(done.verb, Verb::Done);
    EXPECT_EQ(done.number, fd);
    keeper_.reset();  // it leaves when nobody can give it orders
    return back_.valid();
  }

  /// All the client gets until the end of its connection.
  std::string received() const {
    std::string all;
    char bytes[256];
    for (ssize_t got = 0; (got = ::recv(client_.get(), bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, static_cast<std::size_t>(got));
    return all;
  }

  base::UniqueFd back_;

 private:
  void connect_client() {
    const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
    client_.reset(::socket(AF_INET, SOCK_STREAM, 0));
    ASSERT_EQ(::connect(client_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    connection_.reset(::accept(listener.get(), nullptr, nullptr));
  }

  base::UniqueFd client_;
  base::UniqueFd connection_;  ///< has the same number in the worker
  base::UniqueFd keeper_;
  pid_t worker_ = -1;
  pid_t keeper_pid_ = -1;
};

TEST_F(DeadWorker, ConnectionComesBackWhenItsAnswerIsComplete) {
  kill_worker_after_writing(
      "one"
      "two");
  EXPECT_TRUE(settle(3, 6, "sorry"));
  back_.reset();
  EXPECT_EQ(received(), "onetwo");
}

TEST_F(DeadWorker, AnswerOfWhichNothingWasWrittenIsGivenByOthers) {
  kill_worker_after_writing("one");
  EXPECT_FALSE(settle(3, 6, "sorry"));
  EXPECT_EQ(received(), "onesorry");
}

TEST_F(DeadWorker, AnswerWithoutAKnownEndIsGivenByOthersToo) {
  kill_worker_after_writing("");
  EXPECT_FALSE(settle(0, 0, "sorry"));
  EXPECT_EQ(received(), "sorry");
}

TEST_F(DeadWorker, HasAReplyForADescriptorThatIsNotOpenToo) {
  kill_worker_after_writing("");
  EXPECT_FALSE(order(Verb::HandOver, 999, ""));
}

TEST_F(DeadWorker, AnswerOfWhichAPartWasWrittenIsCut) {
  kill_worker_after_writing("onet");
  EXPECT_FALSE(settle(3, 6, "sorry"));
  EXPECT_EQ(received(), "onet");
}

}  // namespace
}  // namespace tricorn::keeper
