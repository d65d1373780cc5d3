#include "control/doctor/unwrap.h"

#include <gtest/gtest.h>

#include <string>

namespace tricorn::control::doctor {
namespace {

struct Row {
  const char* name;
  const char* raw;
  const char* text;
  const char* source;
  Origin origin;
};

class Unwrap : public testing::TestWithParam<Row> {};

TEST_P(Unwrap, LeavesTextAndSource) {
  Unwrapper unwrapper;
  Line line;
  ASSERT_TRUE(unwrapper.unwrap(GetParam().raw, line));
  EXPECT_EQ(line.text, GetParam().text);
  EXPECT_EQ(line.source, GetParam().source);
  EXPECT_EQ(line.origin, GetParam().origin);
}

const Row kRows[] = {
    {"nothing", "[2031-02-03 04:05:06 +0000] [31] [INFO] x",
     "[2031-02-03 04:05:06 +0000] [31] [INFO] x", "", Origin::Program},
    {"old_record_is_no_wrapper", "2031-02-03 04:05:06 [31] [INFO] x",
     "2031-02-03 04:05:06 [31] [INFO] x", "", Origin::Program},
    {"torn_record_is_no_wrapper", "2031-02-03 04:05:06 +0000] [31] [INFO] x",
     "2031-02-03 04:05:06 +0000] [31] [INFO] x", "", Origin::Program},
    {"access_line", "10.0.0.9 - - [x] \"GET / HTTP/1.1\" 200 2",
     "10.0.0.9 - - [x] \"GET / HTTP/1.1\" 200 2", "", Origin::Program},
    {"indentation_stays", "2031-02-03T04:05:06.1Z   File \"x\", line 1", "  File \"x\", line 1", "",
     Origin::Program},
    {"heroku", "2031-02-03T04:05:06.1+00:00 heroku[web.1]: x", "x", "web.1",
     Origin::HerokuPlatform},
    {"heroku_router", "2031-02-03T04:05:06.1+00:00 heroku[router]: x", "x", "router",
     Origin::HerokuRouter},
    {"papertrail", "Feb 03 04:05:06 till heroku/web.1: x", "x", "web.1", Origin::HerokuPlatform},
    {"logplex_drain", "<45>1 2031-02-03T04:05:06+00:00 host app web.1 - x", "x", "web.1",
     Origin::Program},
    {"azure", "2031-02-03T04:05:06.1Z ERROR - x", "x", "", Origin::AzurePlatform},
    {"kernel", "Feb 03 04:05:06 host kernel: [123.4] x", "x", "host", Origin::Kernel},
    {"kernel_iso", "2031-02-03T04:05:06+0000 host kernel: x", "x", "host", Origin::Kernel},
    {"tag_that_is_only_its_end", "2031-02-03T04:05:06+0000 host ]: x", "host ]: x", "",
     Origin::Program},
    {"dmesg", "[  123.456789] x", "x", "", Origin::Kernel},
    {"dmesg_calendar", "[Mon Feb  3 04:05:06 2031] x", "x", "", Origin::Kernel},
    {"pod", "[pod/till-7/web] x", "x", "pod/till-7/web", Origin::Program},
    {"cloud_foundry_router", "2031-02-03T04:05:06.12+0100 [RTR/0] OUT x", "x", "RTR/0",
     Origin::Program},
    {"table_border", "\xE2\x94\x82 x     \xE2\x94\x82", "x", "", Origin::Program},
    {"bar_without_name", "| x", "| x", "", Origin::Program},
    {"json_escapes", R"({"log":"a\tb \u00e9 \"q\"\n","stream":"stdout"})", "a\tb \xC3\xA9 \"q\"",
     "", Origin::Program},
    {"json_cut", R"({"log":"a b)", "a b", "", Origin::Program},
    {"json_member", R"(      "message": "  File \"x\", line 1\n",)", "  File \"x\", line 1", "",
     Origin::Program},
    {"json_member_of_another_name", R"("reason": "x")", R"("reason": "x")", "", Origin::Program},
    {"logfmt", R"(time="2031-02-03T04:05:06Z" level=error logger=till msg="a \"b\" c")",
     "[ERROR] a \"b\" c", "", Origin::Program},
    {"logfmt_without_quotes", "level=info msg=ready", "[INFO] ready", "", Origin::Program},
    {"logfmt_without_text", "time=7 level=info", "time=7 level=info", "", Origin::Program},
    {"logfmt_of_a_frame", R"(level=error msg="  File \"x\", line 1, in f")",
     "  File \"x\", line 1, in f", "", Origin::Program},
    {"logfmt_cut", "level=info msg=\"a b\\", "[INFO] a b\\", "", Origin::Program},
    {"json_inside", R"({"t":1,"jsonPayload":{"n":[{}],"message":"a\n b"},"log":{"text":"c"}})",
     "a\n b", "", Origin::Program},
    {"json_level_of_a_record", R"({"level":"error","message":"Hook x: no"})", "[ERROR] Hook x: no",
     "", Origin::Program},
    {"json_level_of_a_frame", R"({"level":"error","message":"  File \"x\", line 1, in f"})",
     "  File \"x\", line 1, in f", "", Origin::Program},
    {"json_level_of_an_exception", R"({"level":"error","message":"a.B: no"})", "a.B: no", "",
     Origin::Program},
    {"json_inside_cut", R"({"jsonPayload":{"message":"a)", "a", "", Origin::Program},
    {"json_of_others", R"({"jsonPayload":{"n":1}})", R"({"n":1})", "", Origin::Program},
    {"fluentd_file", "2031-02-03T04:10:31+00:00\tdocker.01ab\t{\"log\":\"a\"}", "a", "",
     Origin::Program},
    {"swarm", "till.1.abc@host    | x", "x", "till.1.abc@host", Origin::Program},
};
INSTANTIATE_TEST_SUITE_P(Wrappers, Unwrap, testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

TEST(UnwrapLimits, NestsNoDeeperThanItsBound) {
  std::string raw;
  for (int depth = 0; depth < kLayersMax + 1; ++depth) raw += "a  | ";
  raw += "x";
  Unwrapper unwrapper;
  Line line;
  ASSERT_TRUE(unwrapper.unwrap(raw, line));
  EXPECT_EQ(line.text, "a  | x");
}

TEST(UnwrapLimits, SplitLinesAreKeptUpToTheirBound) {
  Unwrapper unwrapper;
  Line line;
  const std::string piece(kSplitBytesMax / 2 + 1, 'a');
  for (int part = 0; part < 3; ++part)
    EXPECT_FALSE(unwrapper.unwrap("2031-02-03T04:05:06Z stdout P " + piece, line));
  ASSERT_TRUE(unwrapper.unwrap("2031-02-03T04:05:06Z stdout F b", line));
  EXPECT_EQ(line.text.size(), kSplitBytesMax);
}

TEST(UnwrapLimits, WhatNeverGoesOnComesAtTheEnd) {
  Unwrapper unwrapper;
  Line line;
  EXPECT_FALSE(unwrapper.unwrap("2031-02-03T04:05:06Z stdout P half", line));
  ASSERT_TRUE(unwrapper.flush(line));
  EXPECT_EQ(line.text, "half");
  EXPECT_FALSE(unwrapper.flush(line));
}

std::string after_learning(std::initializer_list<const char*> prefixes, const char* raw) {
  Unwrapper unwrapper;
  for (const char* prefix : prefixes) (void)unwrapper.prefixes().note(prefix, 1);
  Line line;
  EXPECT_TRUE(unwrapper.unwrap(raw, line));
  return std::string(line.text);
}

TEST(UnwrapLearnt, APrefixIsBelievedTheSecondTime) {
  EXPECT_EQ(after_learning({"till-7 web "}, "till-7 web   File"), "till-7 web   File");
  EXPECT_EQ(after_learning({"till-7 web ", "till-7 web "}, "till-7 web   File"), "  File");
  EXPECT_EQ(after_learning({"", ""}, "  File"), "  File");
  EXPECT_EQ(after_learning({"    ", "    "}, "      File"), "      File");
}

TEST(UnwrapLearnt, NumbersAndLevelsMayDiffer) {
  const auto learnt = {"04:10:31 [info] ", "04:10:32 [critical] "};
  EXPECT_EQ(after_learning(learnt, "23:59:59 [ERROR]   File"), "  File");
  EXPECT_EQ(after_learning(learnt, "23:59 [ERROR] x"), "23:59 [ERROR] x");
  EXPECT_EQ(after_learning(learnt, "23:59:59 [cart] x"), "23:59:59 [cart] x");
}

TEST(UnwrapLearnt, NumbersFlushRight) {
  EXPECT_EQ(after_learning({"      7 ", "     10 "}, "    100   File"), "  File");
}

TEST(UnwrapLearnt, AColumnsQuotesGo) {
  const auto learnt = {"1927858231123,", "1927858231124,\""};
  EXPECT_EQ(after_learning(learnt, "1927858231125,\"  File \"\"x\"\", line 1\",web"),
            "  File \"x\", line 1");
  EXPECT_EQ(after_learning(learnt, "1927858231125,\"cut"), "cut");
}

TEST(UnwrapLearnt, NamesTheSourceUnlessARecordHasNone) {
  Unwrapper unwrapper;
  Prefixes& prefixes = unwrapper.prefixes();
  EXPECT_EQ(prefixes.note("till-a web ", 3), std::nullopt);
  EXPECT_EQ(prefixes.note("till-a web ", 5), std::optional<std::uint64_t>(3));
  EXPECT_EQ(prefixes.note("till-a web ", 6), std::nullopt);
  Line line;
  ASSERT_TRUE(unwrapper.unwrap("till-a web x", line));
  EXPECT_EQ(line.source, "till-a web ");
  prefixes.note_none();
  ASSERT_TRUE(unwrapper.unwrap("till-a web x", line));
  EXPECT_EQ(line.source, "");
}

TEST(UnwrapLearnt, ALineKeepsItsSourceWhenItTeachesAnother) {
  Unwrapper unwrapper;
  Prefixes& prefixes = unwrapper.prefixes();
  for (int time = 0; time < 2; ++time) (void)prefixes.note("till-a web ", 1);
  Line line;
  ASSERT_TRUE(unwrapper.unwrap("till-a web x", line));
  for (char c = 'A'; c <= 'Z'; ++c) (void)prefixes.note(std::string(1, c) + "> ", 2);
  EXPECT_EQ(line.source, "till-a web ");
}

TEST(UnwrapLearnt, NoMoreThanItsBound) {
  Unwrapper unwrapper;
  for (std::size_t index = 0; index < 2 * kPrefixesMax; ++index)
    for (int time = 0; time < 2; ++time)
      (void)unwrapper.prefixes().note(std::string(1, static_cast<char>('A' + index)) + "> ", 1);
  for (int time = 0; time < 2; ++time)
    (void)unwrapper.prefixes().note(std::string(kPrefixBytesMax + 1, 'z'), 1);
  Line line;
  ASSERT_TRUE(unwrapper.unwrap("A> x", line));
  EXPECT_EQ(line.text, "x");
  ASSERT_TRUE(unwrapper.unwrap("z> x", line));
  EXPECT_EQ(line.text, "z> x");
}

TEST(UnwrapPrefix, OnlySevenDigitsAndZAreAppServices) {
  Unwrapper unwrapper;
  Line line;
  for (const auto& [raw, azure] : {std::pair{"2031-02-03T04:05:06.1234567Z x", true},
                                   std::pair{"2031-02-03T04:05:06.123456Z x", false},
                                   std::pair{"2031-02-03T04:05:06.1234567+00:00 x", false},
                                   std::pair{"2031-02-03T04:05:06.12345678Z x", false}}) {
    ASSERT_TRUE(unwrapper.unwrap(raw, line));
    EXPECT_EQ(line.azure_prefix, azure) << raw;
  }
}

}  // namespace
}  // namespace tricorn::control::doctor
