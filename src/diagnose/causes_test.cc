#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "diagnose/verdict.h"

namespace tricorn::diagnose {
namespace {

TEST(Causes, EachIsFoundByItsName) {
  EXPECT_EQ(cause_of("wait.deadlock"), Cause::WaitDeadlock);
  EXPECT_EQ(cause_of("client.slow_headers"), Cause::ClientSlowHeaders);
  EXPECT_EQ(cause_of("no such thing"), Cause::Unknown);
  EXPECT_EQ(name_of(Cause::Unknown), "unknown");
}

TEST(Causes, EachIsShownByALineOfTheLogThatNamesIt) {
  const std::string document = causes_markdown();
  const std::size_t first = document.find("\n## ");
  ASSERT_NE(first, std::string::npos);
  for (std::size_t at = first; at != std::string::npos; at = document.find("\n## ", at + 1)) {
    const std::string section = document.substr(at + 4, document.find("\n## ", at + 1) - at - 4);
    const std::string name = section.substr(0, section.find('\n'));
    const std::size_t line = section.find("```\n[");
    ASSERT_NE(line, std::string::npos) << name << " has no example";
    // A death is told in Gunicorn's words, which name no class.
    const bool death = section.find("Worker (pid:", line) != std::string::npos;
    EXPECT_TRUE(death || section.find(" " + name + ": ", line) != std::string::npos) << name;
  }
}

// With TRICORN_UPDATE_DOCS in the environment the file is written first.
TEST(CausesDocument, EqualsTheTable) {
  const auto document = std::filesystem::path(__FILE__).parent_path() / "../../docs/diagnosis.md";
  if (std::getenv("TRICORN_UPDATE_DOCS") != nullptr) std::ofstream(document) << causes_markdown();
  std::ifstream file(document);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, causes_markdown())
      << "docs/diagnosis.md is old; run diagnose_test with TRICORN_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tricorn::diagnose
