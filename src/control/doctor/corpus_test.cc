// Every log of tests/doctor against what is written beside it: all facts, all findings, the exit
// status. The logs are invented, their shapes are real.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/doctor/doctor.h"
#include "control/doctor/own_words.h"

namespace tricorn::control::doctor {
namespace {

using Json = nlohmann::json;
using Path = std::filesystem::path;

std::vector<std::string> logs() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TRICORN_DOCTOR_LOGS))
    if (entry.path().extension() == ".log") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Json expected_of(const std::string& name) {
  std::ifstream file(Path(TRICORN_DOCTOR_LOGS) / Path(name).replace_extension(".json"));
  return Json::parse(file);
}

Json found_in(const std::string& name) {
  const auto report = diagnose_file((Path(TRICORN_DOCTOR_LOGS) / name).string());
  EXPECT_TRUE(report.has_value()) << name;
  return Json::parse(to_json(*report, "", -1));
}

class Corpus : public testing::TestWithParam<std::string> {};

TEST_P(Corpus, SaysWhatIsExpectedAndNoMore) {
  const Json expected = expected_of(GetParam());
  const Json found = found_in(GetParam());
  EXPECT_EQ(found["facts"], expected["facts"]);
  std::vector<std::string> ids;
  for (const Json& finding : found["findings"]) {
    const std::string id = finding["id"];
    ids.push_back(id);
    ASSERT_TRUE(expected["findings"].contains(id)) << id;
    const Json& wanted = expected["findings"][id];
    EXPECT_EQ(wanted.is_array() ? finding["lines"] : finding["count"], wanted) << id;
    EXPECT_GE(finding["lines"].size(), 1U) << id;
    EXPECT_LE(finding["lines"].size(), 20U) << id;
    EXPECT_FALSE(finding["advice"].get<std::string>().empty()) << id;
  }
  EXPECT_EQ(ids.size(), expected["findings"].size()) << found["findings"].dump();
  const Json& facts = found["facts"];
  EXPECT_EQ(facts["sigkills"].get<int>(), facts["sigkills_own_after_timeout"].get<int>() +
                                              facts["sigkills_own_at_shutdown"].get<int>() +
                                              facts["sigkills_oom"].get<int>() +
                                              facts["sigkills_unexplained"].get<int>());
  const int status = ids.empty() ? 2 : ids[0] == "no_problem" ? 0 : 1;
  EXPECT_EQ(status, expected["status"].get<int>());
}

TEST_P(Corpus, PlainTextTellsNoClient) {
  const auto report = diagnose_file((Path(TRICORN_DOCTOR_LOGS) / GetParam()).string());
  ASSERT_TRUE(report.has_value());
  const std::string text = to_text(*report, "", 80, false);
  for (const char* secret : {"10.0.0.9", "203.0.113.9", "agent/1.0", "m=2", "id=7", "SECRET=zzz"})
    EXPECT_EQ(text.find(secret), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Logs, Corpus, testing::ValuesIn(logs()), [](const auto& log) {
  std::string name = log.param.substr(0, log.param.find('.'));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

// The name and the example of each class that the server knows. Read, not included: this folder
// sees nothing of that one.
std::vector<std::pair<std::string, std::string>> classes() {
  std::ifstream file(Path(TRICORN_DOCTOR_LOGS) / "../../src/diagnose/causes.def");
  std::vector<std::pair<std::string, std::string>> found;
  std::string name;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("CAUSE(")) name = line.substr(line.find('"') + 1);
    name = name.substr(0, name.find('"'));
    if (line.starts_with("      \"[")) found.emplace_back(name, line.substr(7, line.size() - 9));
  }
  return found;
}

TEST(Classes, EachIsKnownAndItsExampleIsRead) {
  const auto all = classes();
  EXPECT_EQ(all.size(), 44U);
  for (const auto& [name, example] : all) {
    const Meaning* meaning = meaning_of(name);
    ASSERT_NE(meaning, nullptr) << name;
    Reading reading;
    reading.read(example);
    const Report report = reading.finish();
    ASSERT_FALSE(report.findings.empty()) << name;
    const bool client = name.starts_with("client.");
    EXPECT_EQ(report.findings[0].id == "no_problem", client) << name;
    EXPECT_EQ(report.facts.clients_cut, client ? 1U : 0U) << name;
    for (const Finding& finding : report.findings) {
      EXPECT_FALSE(title_of(finding).empty()) << finding.id;
      EXPECT_FALSE(advice_of(finding, report.facts).empty()) << finding.id;
    }
  }
}

}  // namespace
}  // namespace tricorn::control::doctor
