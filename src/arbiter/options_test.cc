#include "arbiter/options.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

struct Row {
  const char* name;
  std::int64_t timeout_ns, request_timeout_ns;
  bool limits_request;
  std::int64_t limit_ns;
};

class RequestLimit : public testing::TestWithParam<Row> {};

TEST_P(RequestLimit, IsTheShorterOne) {
  Options options;
  options.timeout_ns = GetParam().timeout_ns;
  options.request_timeout_ns = GetParam().request_timeout_ns;
  EXPECT_EQ(options.limits_request(), GetParam().limits_request);
  EXPECT_EQ(options.request_limit_ns(), GetParam().limit_ns);
}

TEST(FirstDue, IsTheWarningOrTheLimit) {
  Options options;
  options.timeout_ns = 30;
  EXPECT_EQ(options.first_due_ns(), 30);
  options.slow_ns = 3;
  EXPECT_EQ(options.first_due_ns(), 3);
  options.timeout_ns = 0;
  EXPECT_EQ(options.first_due_ns(), 3);
  options.slow_ns = 0;
  EXPECT_EQ(options.first_due_ns(), 0);
}

const Row kRows[] = {
    {"none", 0, 0, false, 0},
    {"timeout_alone", 30, 0, false, 30},
    {"request_timeout_alone", 0, 5, true, 5},
    {"request_timeout_below", 30, 5, true, 5},
    {"request_timeout_above", 30, 60, false, 30},
    {"both_the_same", 30, 30, false, 30},
};
INSTANTIATE_TEST_SUITE_P(All, RequestLimit, testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace tricorn::arbiter
