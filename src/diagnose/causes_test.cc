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
