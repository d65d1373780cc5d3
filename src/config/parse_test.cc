#include "config/parse.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace tricorn::config {
namespace {

using Words = std::vector<std::string>;

struct Row {
  const char* name;
  Words arguments;
  const char* app;
  const char* values;  // JSON
};

class Parse : public testing::TestWithParam<Row> {};

// What Python's argparse made of the same words in Gunicorn 27.0.1.
TEST_P(Parse, ReadsAsArgparseDoes) {
  const auto invocation = parse_arguments(GetParam().arguments);
  ASSERT_TRUE(invocation) << invocation.error().text;
  EXPECT_EQ(invocation->app, GetParam().app);
  EXPECT_EQ(Layer::parse(invocation->values_json), Layer::parse(GetParam().values));
}

const Row kRows[] = {
    {"nothing", {}, "", "{}"},
    {"app", {"app:app"}, "app:app", "{}"},
    {"short_and_word", {"-w", "4", "app"}, "app", R"({"workers": 4})"},
    {"short_attached", {"-w4", "app"}, "app", R"({"workers": 4})"},
    {"short_with_equals", {"-w=4", "app"}, "app", R"({"workers": 4})"},
    {"long", {"--workers", "4"}, "", R"({"workers": 4})"},
    {"long_with_equals", {"--chdir=/a=b"}, "", R"({"chdir": "/a=b"})"},
    {"empty_value", {"--chdir="}, "", R"({"chdir": ""})"},
    {"abbreviated", {"--logg", "x"}, "", R"({"logger_class": "x"})"},
    {"ours_abbreviated", {"--rep", "x"}, "", R"({"report": "x"})"},
    {"ours_never_in_the_way", {"--timeo", "9"}, "", R"({"timeout": 9})"},
    {"exact_beats_longer",
     {"--log-config", "x", "--reload"},
     "",
     R"({"logconfig": "x", "reload": true})"},
    {"other_spelling", {"--log-file", "-"}, "", R"({"errorlog": "-"})"},
    {"underscore_flag",
     {"--limit-request-field_size", "5"},
     "",
     R"({"limit_request_field_size": 5})"},
    {"lists_append", {"-b", "a", "--bind=b", "-bc"}, "", R"({"bind": ["a", "b", "c"]})"},
    {"last_wins", {"-w1", "-w2"}, "", R"({"workers": 2})"},
    {"cluster", {"-Dw4"}, "", R"({"daemon": true, "workers": 4})"},
    {"cluster_next_word",
     {"-DRw", "4"},
     "",
     R"({"daemon": true, "enable_stdio_inheritance": true, "workers": 4})"},
    {"flag_off", {"--no-sendfile"}, "", R"({"sendfile": false})"},
    {"negative", {"-w", "-1"}, "", R"({"workers": -1})"},
    {"leading_zero", {"-w", "010"}, "", R"({"workers": 10})"},
    {"spaces", {"-w", " 5 "}, "", R"({"workers": 5})"},
    {"underscore", {"-w", "1_0"}, "", R"({"workers": 10})"},
    {"mode_octal", {"-m", "0022"}, "", R"({"umask": 18})"},
    {"mode_hexadecimal", {"-m", "0xff"}, "", R"({"umask": 255})"},
    {"mode_decimal", {"-m", "22"}, "", R"({"umask": 22})"},
    {"text_number", {"--cert-reqs", "2"}, "", R"({"cert_reqs": "2"})"},
    {"after_separator", {"-w4", "--", "-app"}, "-app", R"({"workers": 4})"},
    {"dash_is_a_value", {"--access-logfile", "-", "app"}, "app", R"({"accesslog": "-"})"},
    {"blank_makes_a_value", {"--env", "-A=b c"}, "", R"({"raw_env": ["-A=b c"]})"},
    {"proxy_bare_at_end", {"app", "--proxy-protocol"}, "app", R"({"proxy_protocol": "auto"})"},
    {"proxy_before_option",
     {"--proxy-protocol", "-w4"},
     "",
     R"({"proxy_protocol": "auto", "workers": 4})"},
    {"proxy_eats_the_app", {"--proxy-protocol", "app"}, "", R"({"proxy_protocol": "app"})"},
    {"ours",
     {"--report", "r", "--timeout-status", "by-cause", "--body-timeout=3"},
     "",
     R"({"report": "r", "timeout_status": "by-cause", "body_timeout": 3})"},
};
INSTANTIATE_TEST_SUITE_P(Words, Parse, testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

struct Wrong {
  const char* name;
  Words arguments;
  const char* error;
};

class ParseError : public testing::TestWithParam<Wrong> {};

TEST_P(ParseError, HasArgparsesTwoLinesAndCode) {
  const auto invocation = parse_arguments(GetParam().arguments);
  ASSERT_FALSE(invocation);
  EXPECT_EQ(
      invocation.error().text,
      std::string("usage: tricorn [OPTIONS] [APP_MODULE]\ntricorn: error: ") + GetParam().error);
  EXPECT_EQ(invocation.error().code, 2);
}

const Wrong kWrong[] = {
    {"no_number", {"-w", "abc"}, "argument -w/--workers: invalid int value: 'abc'"},
    {"hexadecimal", {"-w", "0x10"}, "argument -w/--workers: invalid int value: '0x10'"},
    {"empty_number", {"-w", ""}, "argument -w/--workers: invalid int value: ''"},
    {"too_large",
     {"-w99999999999999999999"},
     "argument -w/--workers: invalid int value: '99999999999999999999'"},
    {"bad_mode", {"-m", "08"}, "argument -m/--umask: invalid auto_int value: '08'"},
    {"no_value", {"-w"}, "argument -w/--workers: expected one argument"},
    {"option_is_no_value", {"-b", "-w4"}, "argument -b/--bind: expected one argument"},
    {"value_for_a_flag", {"--preload=1"}, "argument --preload: ignored explicit argument '1'"},
    {"value_for_a_short_flag", {"-D=4"}, "argument -D/--daemon: ignored explicit argument '4'"},
    {"unknown", {"--bogus", "app", "-x"}, "unrecognized arguments: --bogus -x"},
    {"later_positional", {"app", "-w", "4", "extra"}, "unrecognized arguments: extra"},
    {"later_separator", {"app", "-w4", "--", "x"}, "unrecognized arguments: -- x"},
    {"not_utf8", {"--pid", "/tmp/caf\xe9"}, "not UTF-8: '/tmp/caf\xe9'"},
    {"ambiguous",
     {"--work", "4"},
     "ambiguous option: --work could match --workers, --worker-class, --worker-connections, "
     "--worker-tmp-dir"},
    {"ambiguous_before_help",
     {"-h", "--limit-request-f"},
     "ambiguous option: --limit-request-f could match --limit-request-fields, "
     "--limit-request-field_size"},
};
INSTANTIATE_TEST_SUITE_P(Words, ParseError, testing::ValuesIn(kWrong),
                         [](const auto& row) { return row.param.name; });

TEST(ParseArguments, KeepsFurtherWordsApart) {
  const auto invocation = parse_arguments(Words{"app", "extra", "-w", "4"});
  ASSERT_TRUE(invocation);
  EXPECT_EQ(invocation->app, "app");
  EXPECT_EQ(invocation->ignored, Words{"extra"});
}

TEST(ParseArguments, StopsAtHelpAndVersion) {
  using Action = Invocation::Action;
  EXPECT_EQ(parse_arguments(Words{"-w", "4", "-h", "--bogus"})->action, Action::Help);
  EXPECT_EQ(parse_arguments(Words{"--bogus", "--version"})->action, Action::Version);
  EXPECT_EQ(parse_arguments(Words{"-Dv"})->action, Action::Version);
  EXPECT_FALSE(parse_arguments(Words{"-w", "x", "-h"}));
}

TEST(SplitWords, SplitsAsShlexDoes) {
  EXPECT_EQ(*split_words(""), Words{});
  EXPECT_EQ(*split_words("  -w 4\t--bind=a\n"), (Words{"-w", "4", "--bind=a"}));
  EXPECT_EQ(*split_words(R"(--env "A=b c" -e 'D="e"' '')"),
            (Words{"--env", "A=b c", "-e", "D=\"e\"", ""}));
  EXPECT_EQ(*split_words(R"(a\ b "c\"d\e" 'f\g')"), (Words{"a b", "c\"d\\e", "f\\g"}));
  EXPECT_EQ(*split_words("a#b"), Words{"a#b"});
  EXPECT_EQ(split_words("'open").error().text, "GUNICORN_CMD_ARGS: No closing quotation");
  EXPECT_EQ(split_words("end\\").error().text, "GUNICORN_CMD_ARGS: No escaped character");
}

Layer from_environment(const std::map<std::string, const char*>& variables) {
  return environment_layer([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second;
  });
}

TEST(EnvironmentLayer, KnowsFourVariables) {
  EXPECT_EQ(from_environment({}), Layer::object());
  EXPECT_EQ(from_environment({{"WEB_CONCURRENCY", "08"}}), Layer::parse(R"({"workers": 8})"));
  EXPECT_EQ(from_environment({{"WEB_CONCURRENCY", ""}, {"PORT", ""}}), Layer::object());
  EXPECT_EQ(from_environment({{"WEB_CONCURRENCY", "two"}}), Layer::parse(R"({"workers": "two"})"));
  EXPECT_EQ(from_environment({{"PORT", "5000"}}), Layer::parse(R"({"bind": ["0.0.0.0:5000"]})"));
  EXPECT_EQ(from_environment({{"FORWARDED_ALLOW_IPS", "*"}}),
            Layer::parse(R"({"forwarded_allow_ips": "*"})"));
  EXPECT_EQ(from_environment({{"SENDFILE", "Yes"}}), Layer::parse(R"({"sendfile": true})"));
  EXPECT_EQ(from_environment({{"SENDFILE", "on"}}), Layer::parse(R"({"sendfile": false})"));
}

TEST(LayerFromJson, TakesAnObjectOnly) {
  EXPECT_EQ(*layer_from_json(R"({"a": 1})"), Layer::parse(R"({"a": 1})"));
  EXPECT_FALSE(layer_from_json("[1]"));
  EXPECT_FALSE(layer_from_json("{"));
}

TEST(HelpText, ListsEveryFlagWithin79Columns) {
  const std::string text = help_text();
  EXPECT_NE(text.find("  -w INT, --workers INT\n                        Worker processes."),
            std::string::npos);
  EXPECT_NE(text.find("[['127.0.0.1:8000']]\n"), std::string::npos);
  for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    EXPECT_LE(end - at, 79U) << text.substr(at, end - at);
  }
}

}  // namespace
}  // namespace tricorn::config
