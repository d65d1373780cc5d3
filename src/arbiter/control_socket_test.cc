#include "arbiter/control_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/testing/temporary_folder.h"

namespace tricorn::arbiter {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kListening = std::uint64_t{1} << 32;
constexpr std::uint64_t kTalking = std::uint64_t{2} << 32;

/// A socket in a folder of its own, answered by `reply`, its loop turned by hand.
class ControlSocketTest : public testing::Test {
 protected:
  std::unique_ptr<ControlSocket> make() {
    return std::make_unique<ControlSocket>(
        poller_, [](int fd) { return kListening | static_cast<std::uint64_t>(fd); },
        [](int fd) { return kTalking | static_cast<std::uint64_t>(fd); },
        [this](ControlSocket::Ticket ticket, std::string_view request) {
          asked_.emplace_back(ticket, request);
          return reply_;
        });
  }

  base::UniqueFd connect() const {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    const int done = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    return done == 0 ? std::move(fd) : base::UniqueFd();
  }

  /// Handles what has happened until nothing more has.
  void turn(ControlSocket& socket, std::int64_t now_ns = 1) {
    std::array<epoll_event, 8> events;
    for (int count = 1; count > 0;) {
      count = poller_.wait(events, 0);
      for (int i = 0; i < count; ++i) {
        const std::uint64_t token = events[static_cast<std::size_t>(i)].data.u64;
        const int fd = static_cast<int>(token & 0xFFFFFFFF);
        if ((token & kListening) != 0) socket.on_connection(now_ns);
        if ((token & kTalking) != 0)
          socket.on_client(fd, events[static_cast<std::size_t>(i)].events, now_ns);
      }
    }
  }

  static void say(const base::UniqueFd& client, std::string_view text) {
    ASSERT_EQ(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  /// What has arrived; "<end>" when the server has closed.
  static std::string hear(const base::UniqueFd& client) {
    std::string text(1 << 20, '\0');
    const ssize_t count = ::recv(client.get(), text.data(), text.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return "<end>";
    text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
    return text;
  }

  const base::TemporaryFolder folder_;
  const fs::path top_ = folder_.path();
  const std::string path_ = top_ / "s.ctl";
  net::Poller poller_;
  std::vector<std::pair<ControlSocket::Ticket, std::string>> asked_;
  std::optional<std::string> reply_ = "answer";
};

TEST_F(ControlSocketTest, IsMadeForItsOwnerAndGoesWithTheServer) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  socket.reset();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(ControlSocketTest, AnswersRequestsOneAfterTheOther) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  const auto client = connect();
  say(client, "one\ntw");
  turn(*socket);
  EXPECT_EQ(hear(client), "answer\n");
  say(client, "o\n");
  turn(*socket);
  EXPECT_EQ(hear(client), "answer\n");
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[1].second, "two");
}

TEST_F(ControlSocketTest, AnswersLaterAndOnlyThenTakesTheNext) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  const auto client = connect();
  reply_.reset();
  say(client, "one\ntwo\n");
  turn(*socket);
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_TRUE(socket->waits(asked_[0].first));
  socket->answer(asked_[0].first, "late", 1);
  EXPECT_EQ(hear(client), "late\n");
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_FALSE(socket->waits(asked_[0].first));
}

TEST_F(ControlSocketTest, AClientThatLeavesWaitsForNothing) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  reply_.reset();
  {
    const auto client = connect();
    say(client, "one\n");
    turn(*socket);
  }
  turn(*socket);
  EXPECT_FALSE(socket->waits(asked_[0].first));
  socket->answer(asked_[0].first, "late", 1);
}

TEST_F(ControlSocketTest, ALongAnswerArrivesWhole) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  reply_ = std::string(3'000'000, 'x');
  const auto client = connect();
  say(client, "one\n");
  std::string got;
  for (int rounds = 0; rounds < 1000 && got.size() < reply_->size() + 1; ++rounds) {
    turn(*socket);
    got += hear(client);
  }
  EXPECT_EQ(got, *reply_ + "\n");
}

TEST_F(ControlSocketTest, AnAnswerBeyondTheBoundIsAnError) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  reply_ = std::string(kControlAnswerMax, 'x');
  const auto client = connect();
  say(client, "one\n");
  turn(*socket);
  EXPECT_NE(hear(client).find(R"("ok":false)"), std::string::npos);
}

TEST_F(ControlSocketTest, ARequestOfTheLongestLengthPassesAndOneMoreByteDoesNot) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  const auto client = connect();
  say(client, std::string(kControlRequestMax - 1, 'x') + "\n");
  turn(*socket);
  EXPECT_EQ(hear(client), "answer\n");
  say(client, std::string(kControlRequestMax, 'x'));
  turn(*socket);
  EXPECT_NE(hear(client).find("4096 bytes"), std::string::npos);
  EXPECT_EQ(hear(client), "<end>");
}

TEST_F(ControlSocketTest, OneClientTooManyIsToldSo) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  std::vector<base::UniqueFd> clients;
  for (std::size_t i = 0; i < kControlClientsMax; ++i) {
    clients.push_back(connect());
    turn(*socket);
  }
  const auto last = connect();
  turn(*socket);
  EXPECT_NE(hear(last).find("come again"), std::string::npos);
  clients.pop_back();
  turn(*socket);
  const auto next = connect();
  say(next, "one\n");
  turn(*socket);
  EXPECT_EQ(hear(next), "answer\n");
}

TEST_F(ControlSocketTest, SilentAndStuckClientsAreCut) {
  auto socket = make();
  ASSERT_TRUE(socket->open(path_, 0600));
  reply_ = std::string(3'000'000, 'x');
  const auto silent = connect();
  const auto stuck = connect();
  say(stuck, "one\n");
  turn(*socket);
  socket->cut_late(1 + kControlStuckNs + 1);
  std::string got = hear(stuck);
  while (!got.ends_with("<end>")) got += hear(stuck);
  EXPECT_LT(got.size(), reply_->size());
  EXPECT_EQ(hear(silent), "");
  socket->cut_late(1 + kControlIdleNs + 1);
  EXPECT_EQ(hear(silent), "<end>");
}

TEST_F(ControlSocketTest, ReplacesADesertedSocketOnly) {
  auto first = make();
  ASSERT_TRUE(first->open(path_, 0600));
  auto second = make();
  const auto refused = second->open(path_, 0600);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EADDRINUSE);
  // A server that was killed leaves its file behind.
  fs::rename(path_, top_ / "left");
  first.reset();
  fs::rename(top_ / "left", path_);
  EXPECT_TRUE(second->open(path_, 0600));
}

TEST_F(ControlSocketTest, NeverRemovesWhatIsNotASocket) {
  std::ofstream(path_) << "mine";
  auto socket = make();
  EXPECT_FALSE(socket->open(path_, 0600));
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(ControlSocketTest, ASuccessorTakesThePathOver) {
  auto old_server = make();
  ASSERT_TRUE(old_server->open(path_, 0600));
  auto successor = make();
  ASSERT_TRUE(successor->open(path_ + ".2", 0600));
  ASSERT_TRUE(successor->rename(path_));
  old_server.reset();  // leaves the file alone: it is not its own any more
  ASSERT_TRUE(fs::exists(path_));
  const auto client = connect();
  ASSERT_TRUE(client.valid());
  say(client, "one\n");
  turn(*successor);
  EXPECT_EQ(hear(client), "answer\n");
}

TEST_F(ControlSocketTest, APathThatIsTooLongIsNamed) {
  auto socket = make();
  const auto refused = socket->open("/tmp/" + std::string(200, 'x'), 0600);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("107 bytes"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::arbiter
