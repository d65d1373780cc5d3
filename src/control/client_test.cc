#include "control/client.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/testing/temporary_folder.h"
#include "control/testing/fake_server.h"

namespace tricorn::control {
namespace {

namespace fs = std::filesystem;

/// Servers in a folder where the client looks for them.
class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(top_ / "tricorn");
    ::setenv("XDG_RUNTIME_DIR", top_.c_str(), 1);
    ::setenv("HOME", "none", 1);
  }

  std::string serve(const std::string& name, const std::string& line) {
    return servers_.emplace_back(std::make_unique<FakeServer>(top_ / "tricorn" / name, line))
        ->path();
  }

  const base::TemporaryFolder folder_;
  const fs::path top_ = folder_.path();
  std::vector<std::unique_ptr<FakeServer>> servers_;
};

constexpr const char* kHello = "{\"v\":1,\"ok\":true,\"data\":{\"pid\":7,\"app\":\"a:b\"}}\n";

TEST_F(ClientTest, GivesTheAnswersData) {
  auto client = Client::connect(serve("7.ctl", kHello));
  ASSERT_TRUE(client);
  const auto answer = client->ask({{"command", "hello"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->value("pid", 0), 7);
}

TEST_F(ClientTest, TellsANoFromNoServer) {
  auto client = Client::connect(serve("7.ctl", "{\"v\":1,\"ok\":false,\"error\":\"not now\"}\n"));
  ASSERT_TRUE(client);
  const auto no = client->ask({{"command", "reload"}});
  ASSERT_FALSE(no);
  EXPECT_EQ(no.error().text, "not now");
  EXPECT_NE(no.error().code, kNoServer);
  const auto nobody = Client::connect(top_ / "no.ctl");
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, kNoServer);
}

TEST_F(ClientTest, SomethingElseThatAnswersIsNoServer) {
  auto client = Client::connect(serve("7.ctl", "HTTP/1.1 400 Bad Request\n"));
  ASSERT_TRUE(client);
  const auto answer = client->ask({{"command", "hello"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, kNoServer);
}

TEST_F(ClientTest, FindsTheOnlyOneThatLives) {
  const std::string path = serve("7.ctl", kHello);
  std::ofstream(top_ / "tricorn" / "8.ctl") << "left behind";
  fs::create_symlink(path, top_ / "tricorn" / "9.ctl");  // another name of the same
  const auto found = find_socket();
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(*found, path);
}

TEST_F(ClientTest, NamesThemWhenThereAreSeveral) {
  serve("7.ctl", kHello);
  serve("8.ctl", kHello);
  const auto found = find_socket();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, kNoServer);
  EXPECT_NE(found.error().text.find("8.ctl  (pid 7, a:b"), std::string::npos) << found.error().text;
}

TEST_F(ClientTest, APidfileWithoutAPidIsNamed) {
  std::ofstream(top_ / "pid") << "x";
  const auto found = find_socket_of(top_ / "pid");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().text.find("'" + (top_ / "pid").string() + "'"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::control
