// checked() against what Gunicorn itself made of the same values: testdata/gunicorn_values.txt.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "config/check.h"

namespace tricorn::config {
namespace {

// "setting | value" -> what we make of it, where that is not what Gunicorn makes of it: None stands
// for the default at once, a folder must be one, a list in place of a word is named as what it is,
// names and networks are cleaned up.
const std::map<std::string, std::string> kOnPurpose = {
    {R"(preload_app | null)", R"(false)"},
    {R"(statsd_host | "unix:///tmp/s")", R"("unix:///tmp/s")"},
    {R"(reload_extra_files | ["a", 1])", R"(!File a does not exists.)"},
    {R"(forwarder_headers | " a , ,b,")", R"(["a","b"])"},
    {R"(forwarded_allow_ips | "1.2.3.4/255.255.0.0")", R"(!1.2.3.4/255.255.0.0 has host bits set)"},
    {R"(logger_class | null)", R"("gunicorn.glogging.Logger")"},
    {R"(chdir | "/dev/null")", R"(![Errno 20] Not a directory: '/dev/null')"},
    {R"(reload_engine | [])", R"(!Invalid reload_engine: [])"},
    {R"(reload_engine | ["a"])", R"(!Invalid reload_engine: ['a'])"},
    {R"(reload_engine | [" a ", "b"])", R"(!Invalid reload_engine: [' a ', 'b'])"},
    {R"(reload_engine | ["a", 1])", R"(!Invalid reload_engine: ['a', 1])"},
    {R"(reload_engine | [null])", R"(!Invalid reload_engine: [None])"},
    {R"(reload_engine | {})", R"(!Invalid reload_engine: {})"},
    {R"(reload_engine | {"a": "b"})", R"(!Invalid reload_engine: {'a': 'b'})"},
    {R"(reload_engine | {"a": 1})", R"(!Invalid reload_engine: {'a': 1})"},
    {R"(header_map | null)", R"("drop")"},
};

struct Row {
  std::string setting, given, expected;
};

std::vector<Row> recorded() {
  const auto folder = std::filesystem::path(__FILE__).parent_path();
  std::ifstream file(folder / "testdata/gunicorn_values.txt");
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    const std::size_t first = line.find(" | ");
    const std::size_t last = line.find(" | ", first + 3);
    rows.push_back(
        {line.substr(0, first), line.substr(first + 3, last - first - 3), line.substr(last + 3)});
  }
  return rows;
}

bool same(const base::Result<Layer>& ours, const std::string& expected) {
  if (!ours) return "!" + ours.error().text == expected;
  if (expected.starts_with('!')) return false;
  const Layer theirs = Layer::parse(expected);
  // A statsd address stays as it was written; Gunicorn keeps host and port.
  if (theirs.is_array() && theirs.size() == 2 && theirs[1].is_number()) return ours->is_string();
  if (theirs.is_boolean() && ours->is_number()) return *ours == (theirs.get<bool>() ? 1 : 0);
  return *ours == theirs;
}

TEST(GunicornsValues, AreAcceptedRefusedAndReadAlike) {
  const auto rows = recorded();
  ASSERT_GT(rows.size(), 800U);
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path("/");  // the recording was made there
  std::size_t on_purpose = 0;
  for (const Row& row : rows) {
    const Setting* setting = find_setting(row.setting);
    ASSERT_NE(setting, nullptr) << row.setting;
    const auto ours = checked(*setting, Layer::parse(row.given));
    const auto known = kOnPurpose.find(row.setting + " | " + row.given);
    if (known == kOnPurpose.end()) {
      EXPECT_TRUE(same(ours, row.expected))
          << row.setting << " = " << row.given << "\n ours "
          << (ours ? ours->dump() : "!" + ours.error().text) << "\n theirs " << row.expected;
    } else {
      ++on_purpose;
      EXPECT_TRUE(same(ours, known->second)) << row.setting << " = " << row.given;
      EXPECT_FALSE(same(ours, row.expected)) << row.setting << " = " << row.given;
    }
  }
  std::filesystem::current_path(here);
  EXPECT_EQ(on_purpose, kOnPurpose.size());
}

}  // namespace
}  // namespace tricorn::config
