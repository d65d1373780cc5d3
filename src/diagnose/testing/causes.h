// Tables of evidence and the cause that the rules must name for it.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "diagnose/evidence.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

/// One row of such a table.
struct Row {
  const char* name;
  Evidence evidence;
  std::string_view expected;
};

/// The name of a row, for INSTANTIATE_TEST_SUITE_P.
inline constexpr auto named = [](const auto& row) { return row.param.name; };

class CauseTest : public testing::TestWithParam<Row> {
 protected:
  void expect_cause() const {
    const Verdict verdict = decide(GetParam().evidence);
    EXPECT_EQ(name_of(verdict.cause), GetParam().expected) << verdict.because;
  }
};

}  // namespace tricorn::diagnose
