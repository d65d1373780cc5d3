#include "control/run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/testing/temporary_folder.h"
#include "control/testing/fake_server.h"

namespace tricorn::control {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kEntry =
    R"({"version":1,"class":"wait.sleep","ref":"7f3a9c","request":"GET /x","because":"slept"})";

/// What one run of tricornctl did.
struct Ran {
  int status;
  std::string out;
};

class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(report()) << kEntry << "\n" << kEntry << "\n";
    std::ofstream(log()) << "[2026-11-23 10:00:00 +0000] [7] [INFO] Starting gunicorn 27.0.1\n";
    server_ = std::make_unique<FakeServer>(top_ / "s", R"({"v":1,"ok":true,"data":{}})"
                                                       "\n");
  }

  Ran ask(std::vector<std::string> words) {
    words.insert(words.end(), {"-s", server_->path()});
    testing::internal::CaptureStdout();
    const int status = run(words);
    return {status, testing::internal::GetCapturedStdout()};
  }
  std::string report() const { return top_ / "report"; }
  std::string log() const { return top_ / "log"; }

  const base::TemporaryFolder folder_;
  const fs::path top_ = folder_.path();
  std::unique_ptr<FakeServer> server_;
};

TEST_F(RunTest, EveryCommandPrintsOneJsonDocumentWhenAskedTo) {
  const std::vector<std::vector<std::string>> rows = {
      {"status"},
      {"workers"},
      {"requests"},
      {"stacks"},
      {"stacks", "7"},
      {"incidents"},
      {"incidents", "--report", report()},
      {"explain", "7f3a9c"},
      {"explain", "7f3a9c", "--report", report()},
      {"top"},
      {"top", "--once"},
      {"profile", "--seconds", "1"},
      {"advise"},
      {"doctor"},
      {"doctor", log()},
      {"doctor", log(), log()},
      {"reload"},
      {"ttin"},
      {"ttou"},
  };
  std::set<std::string> asked = {"alias"};  // Python's: test_gunicorn_names.py
  for (std::vector<std::string> words : rows) {
    asked.insert(words[0]);
    words.emplace_back("--json");
    const Ran ran = ask(words);
    EXPECT_EQ(ran.status, 0) << words[0];
    EXPECT_TRUE(Json::accept(ran.out)) << words[0] << " printed: " << ran.out;
  }
  for (const Command& command : commands())
    EXPECT_TRUE(asked.contains(std::string(command.name))) << "add a row for " << command.name;
}

TEST_F(RunTest, TopAsJsonIsWhatItShows) {
  const Json shown = Json::parse(ask({"top", "--json"}).out);
  EXPECT_EQ(shown.dump(), R"({"status":{},"workers":{},"requests":{}})");
}

TEST_F(RunTest, EntriesOfOneReferenceAreAList) {
  EXPECT_EQ(Json::parse(ask({"explain", "7f3a9c", "--report", report(), "--json"}).out),
            Json::array({Json::parse(kEntry), Json::parse(kEntry)}));
}

TEST_F(RunTest, AProfileAsJsonGoesToItsFile) {
  const std::string path = top_ / "profile";
  EXPECT_EQ(ask({"profile", "--json", "-o", path}).out, "");
  std::ifstream file(path);
  EXPECT_EQ(Json::parse(file), Json::object());
}

TEST_F(RunTest, TwoFormsOfOneOutputAreRefused) {
  EXPECT_EQ(ask({"profile", "--json", "--format", "svg"}).status, 2);
  EXPECT_EQ(ask({"explain", "7f3a9c", "--json", "--format", "svg"}).status, 2);
}

TEST_F(RunTest, AliasBehindAnOptionIsRefused) {
  EXPECT_EQ(ask({"--json", "alias", "status"}).status, 2);
}

}  // namespace
}  // namespace tricorn::control
