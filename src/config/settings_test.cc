#include "config/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "config/describe.h"
#include "config/resolve.h"

namespace tricorn::config {
namespace {

namespace fs = std::filesystem;

fs::path beside(const char* name) { return fs::path(__FILE__).parent_path() / name; }

std::string contents(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> all;
  std::size_t at = 0;
  for (std::size_t bar; (bar = line.find(" | ", at)) != std::string::npos; at = bar + 3) {
    all.push_back(line.substr(at, bar - at));
  }
  all.push_back(line.substr(at));
  return all;
}

std::vector<std::vector<std::string>> gunicorn_rows() {
  std::ifstream file(beside("testdata/gunicorn_settings.txt"));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') rows.push_back(fields(line));
  }
  return rows;
}

std::string action_of(const Setting& setting) {
  if (setting.kind == Kind::Flag) return "store_true";
  if (setting.kind == Kind::FlagOff) return "store_const const=False";
  if (setting.kind == Kind::List) return "append";
  return setting.check == Check::ProxyProtocol ? "store nargs=? const=auto" : "store";
}

std::string type_of(const Setting& setting) {
  if (setting.kind == Kind::Mode) return "auto_int";
  const bool number =
      setting.kind == Kind::Count || setting.kind == Kind::Large || setting.kind == Kind::Seconds;
  return number ? "int" : "-";
}

const std::map<std::string, Check> kChecks = {
    {"PosInt", Check::PosInt},
    {"Bool", Check::Bool},
    {"String", Check::String},
    {"ListString", Check::ListString},
    {"ListOfFilesOrPatterns", Check::ListOfFilesOrPatterns},
    {"StringToList", Check::StringToList},
    {"StringToAddrList", Check::StringToAddrList},
    {"Class", Check::Class},
    {"Callable", Check::Callable},
    {"PostRequest", Check::PostRequest},
    {"User", Check::User},
    {"Group", Check::Group},
    {"Chdir", Check::Chdir},
    {"Dict", Check::Dict},
    {"StatsdAddress", Check::StatsdAddress},
    {"ReloadEngine", Check::ReloadEngine},
    {"ProxyProtocol", Check::ProxyProtocol},
    {"SslVersion", Check::SslVersion},
    {"HttpProtocols", Check::HttpProtocols},
    {"Http2Cleartext", Check::Http2Cleartext},
    {"Http2StreamLimit", Check::Http2StreamLimit},
    {"Http2WindowSize", Check::Http2WindowSize},
    {"Http2FrameSize", Check::Http2FrameSize},
    {"HeaderMapBehaviour", Check::HeaderMapBehaviour},
    {"AsgiLoop", Check::AsgiLoop},
    {"AsgiLifespan", Check::AsgiLifespan},
    {"HttpParser", Check::HttpParser},
};

// Where the table differs on purpose, with the reason.
const std::set<std::string> kOtherCheck = {
    "worker_class",  // only classes that exist here
    "paste",         // refused clearly
};
const std::set<std::string> kOtherDefault = {
    "sendfile",           // Gunicorn's None means on
    "default_proc_name",  // our own name
};

TEST(SettingsTable, HoldsGunicornsSettingsInItsOrder) {
  const auto rows = gunicorn_rows();
  ASSERT_EQ(rows.size(), 120U);
  ASSERT_GE(settings().size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(settings()[i].name, rows[i][0]);
}

TEST(SettingsTable, HasGunicornsFlagsActionsAndTypes) {
  for (const auto& row : gunicorn_rows()) {
    const Setting* setting = find_setting(row[0]);
    ASSERT_NE(setting, nullptr) << row[0];
    EXPECT_EQ(setting->section, row[1]) << row[0];
    EXPECT_EQ(setting->flags, row[2] == "-" ? "" : row[2]) << row[0];
    EXPECT_EQ(action_of(*setting), row[4]) << row[0];
    EXPECT_EQ(type_of(*setting), row[5]) << row[0];
    const bool shown = row[3] != "-" && (setting->kind == Kind::Hook || !setting->flags.empty());
    if (shown) {
      EXPECT_EQ(setting->metavar, row[3]) << row[0];
    }
  }
}

TEST(SettingsTable, HasGunicornsValidatorsAndDefaults) {
  for (const auto& row : gunicorn_rows()) {
    const Setting* setting = find_setting(row[0]);
    ASSERT_NE(setting, nullptr) << row[0];
    ASSERT_TRUE(kChecks.contains(row[6])) << row[6];
    EXPECT_EQ(setting->check == kChecks.at(row[6]), !kOtherCheck.contains(row[0])) << row[0];
    if (row[7] == "*") continue;
    const bool same = Layer::parse(setting->default_json) == Layer::parse(row[7]);
    EXPECT_EQ(same, !kOtherDefault.contains(row[0])) << row[0] << " " << setting->default_json;
  }
}

TEST(SettingsTable, NamesEachSettingAndFlagOnce) {
  std::set<std::string_view> names;
  for (const Setting& setting : settings())
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
  EXPECT_EQ(find_setting("no_such_setting"), nullptr);
}

TEST(SettingsTable, HasAMeaningForPeopleInEveryRow) {
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(setting.meaning.ends_with('.')) << setting.name;
    EXPECT_FALSE(setting.lacks.ends_with('.')) << setting.name;
  }
}

TEST(Settings, HaveTheDefaultsWhenNobodySetsAnything) {
  const auto resolved = resolve({});
  ASSERT_TRUE(resolved);
  const auto settings = from_json(resolved->dump());
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->workers, 1);
  EXPECT_EQ(settings->timeout, std::chrono::seconds(30));
  EXPECT_EQ(settings->bind, std::vector<std::string>{"127.0.0.1:8000"});
  EXPECT_EQ(settings->accesslog, std::nullopt);
  EXPECT_EQ(settings->errorlog, "-");
  EXPECT_TRUE(settings->sendfile);
  EXPECT_EQ(settings->forwarded_allow_ips, (std::vector<std::string>{"127.0.0.1", "::1"}));
  EXPECT_EQ(settings->secure_scheme_headers.front(),
            (std::pair<std::string, std::string>{"X-FORWARDED-PROTOCOL", "ssl"}));
  EXPECT_EQ(settings->timeout_status, "500");
}

TEST(Settings, SurviveJsonExactly) {
  const Layer given = Layer::parse(R"({
      "bind": ["unix:/run/\u00e4 b.sock"], "timeout": 600, "accesslog": "-", "preload_app": true,
      "secure_scheme_headers": {"Z": "1", "A": "2"}, "max_requests": 9000000000,
      "logconfig_dict": {"version": 1, "a": [1, null]}})");
  const auto resolved = resolve({given});
  ASSERT_TRUE(resolved);
  const auto settings = from_json(resolved->dump());
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->max_requests, 9000000000);
  EXPECT_EQ(settings->logconfig_dict.json, R"({"version":1,"a":[1,null]})");
  EXPECT_EQ(settings->secure_scheme_headers, (Pairs{{"Z", "1"}, {"A", "2"}}));
  EXPECT_EQ(to_json(*settings), resolved->dump());
  const auto again = from_json(to_json(*settings));
  ASSERT_TRUE(again);
  EXPECT_TRUE(*again == *settings);
}

TEST(Settings, SayWhichFieldIsMissingOrWrong) {
  EXPECT_EQ(from_json("[]").error().text, "the settings are no JSON object");
  EXPECT_NE(from_json("{}").error().text.find("setting config: "), std::string::npos);
  auto all = *resolve({});
  all["workers"] = "many";
  EXPECT_NE(from_json(all.dump()).error().text.find("setting workers: "), std::string::npos);
}

// With TRICORN_UPDATE_DOCS in the environment the file is written first.
TEST(SettingsDocument, EqualsTheTable) {
  const fs::path document = beside("../../docs/settings.md");
  if (std::getenv("TRICORN_UPDATE_DOCS") != nullptr) std::ofstream(document) << describe_markdown();
  EXPECT_EQ(contents(document), describe_markdown())
      << "docs/settings.md is old; run config_test with TRICORN_UPDATE_DOCS=1";
}

// The same for Python's copy of the table.
TEST(SettingsDocument, IsWhatPythonReads) {
  const fs::path copy = beside("../../python/tricorn/settings.json");
  if (std::getenv("TRICORN_UPDATE_DOCS") != nullptr) std::ofstream(copy) << describe_json();
  EXPECT_EQ(contents(copy), describe_json()) << "settings.json is old: make docs";
}

TEST(SettingsDocument, ListsForTheReadmeOnlyWhatActs) {
  const std::string table = describe_options_markdown();
  EXPECT_NE(table.find("| `-w`, `--workers` | `1` |"), std::string::npos);
  EXPECT_NE(table.find("`--report`"), std::string::npos);
  EXPECT_EQ(table.find("`--spew`"), std::string::npos);
  EXPECT_EQ(table.find("on_starting"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::config
