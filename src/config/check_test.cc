#include "config/check.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "config/python_text.h"

namespace tricorn::config {
namespace {

struct Row {
  const char* setting;
  const char* given;     // JSON
  const char* expected;  // JSON, or "!" and the error's words
};

std::string outcome(const Row& row) {
  const auto value = checked(*find_setting(row.setting), Layer::parse(row.given));
  return value ? value->dump() : "!" + value.error().text;
}

class Checked : public testing::TestWithParam<Row> {};

TEST(Names, WithANulByteAreNotTheNamesBeforeIt) {
  EXPECT_TRUE(outcome({"chdir", R"("/usr\u0000/lib")", ""}).starts_with("!can't chdir to"));
  EXPECT_TRUE(outcome({"user", R"("root\u0000")", ""}).starts_with("!No such user"));
  EXPECT_TRUE(outcome({"reload_extra_files", R"("/usr\u0000")", ""}).starts_with("!File /usr"));
}

// Seen in Gunicorn 27.0.1, save for the limits and words that name Tricorn.
TEST_P(Checked, AnswersAsGunicornDoes) {
  EXPECT_EQ(outcome(GetParam()), GetParam().expected)
      << GetParam().setting << " = " << GetParam().given;
}

const Row kNumbers[] = {
    {"workers", "4", "4"},
    {"workers", "true", "1"},
    {"workers", "-1", "!Value must be positive: -1"},
    {"workers", "\"-0x1\"", "!Value must be positive: -1"},
    {"workers", "\"0x10\"", "16"},
    {"workers", "\"0b11\"", "3"},
    {"workers", "\"010\"", "!invalid literal for int() with base 0: '010'"},
    {"workers", "\"00\"", "0"},
    {"workers", "\" +5 \"", "5"},
    {"workers", "\"1_0\"", "10"},
    {"workers", "\"1__0\"", "!invalid literal for int() with base 0: '1__0'"},
    {"workers", "\"\"", "!invalid literal for int() with base 0: ''"},
    {"workers", "1.5", "!int() can't convert non-string with explicit base"},
    {"workers", "null", "!int() can't convert non-string with explicit base"},
    {"workers", "[1]", "!int() can't convert non-string with explicit base"},
    {"workers", "2147483647", "2147483647"},
    {"workers", "2147483648", "!Value must be at most 2147483647: 2147483648"},
    {"max_requests", "2147483648", "2147483648"},
    {"max_requests", "18446744073709551615",
     "!Value must be at most 9223372036854775807: 18446744073709551615"},
    {"header_timeout", "2000000", "2000000"},
    {"header_timeout", "2000001", "!Value must be at most 2000000: 2000001"},
    {"http2_max_concurrent_streams", "1", "1"},
    {"http2_max_concurrent_streams", "0", "!HTTP/2 max concurrent streams must be at least 1: 0"},
    {"http2_initial_window_size", "2147483648",
     "!HTTP/2 window size must be at most 2147483647: 2147483648"},
    {"http2_max_frame_size", "16383",
     "!http2_max_frame_size must be between 16384 and 16777215, got 16383"},
    {"http2_max_frame_size", "-1",
     "!http2_max_frame_size must be between 16384 and 16777215, got -1"},
    {"http2_max_frame_size", "16777216",
     "!http2_max_frame_size must be between 16384 and 16777215, got 16777216"},
    {"preload_app", "\" TRUE \"", "true"},
    {"preload_app", "null", "false"},
    {"sendfile", "null", "true"},
    {"preload_app", "\"yes\"", "!Invalid boolean: yes"},
    {"preload_app", "1", "!Invalid type for casting: 1"},
};
INSTANTIATE_TEST_SUITE_P(Numbers, Checked, testing::ValuesIn(kNumbers));

const Row kTexts[] = {
    {"loglevel", "\" INFO \"", "\"INFO\""},
    {"loglevel", "5", "!Not a string: 5"},
    {"loglevel", R"({"!": "function"})", "!a function cannot be its value"},
    {"errorlog", "null", "null"},
    {"bind", "\"a,b\"", R"(["a,b"])"},
    {"bind", R"([" a ", "b"])", R"(["a","b"])"},
    {"bind", "\"\"", "[]"},
    {"bind", "false", "[]"},
    {"bind", "[1]", "!Not a string: 1"},
    {"bind", "true", "!'bool' object is not iterable"},
    {"reload_extra_files", "\"*.py\"", R"(["*.py"])"},
    {"reload_extra_files", R"(["/no/such"])", "!File /no/such does not exists."},
    {"forwarder_headers", "\" a, b,,\"", R"(["a","b"])"},
    {"forwarder_headers", R"(["A"])", "!Not a string: ['A']"},
    {"forwarded_allow_ips", "null", "[]"},
    {"forwarded_allow_ips", "\"*, 10.0.0.0/8 ,\"", R"(["*","10.0.0.0/8"])"},
    {"forwarded_allow_ips", "\"10.0.0.1/8\"", "!10.0.0.1/8 has host bits set"},
    {"forwarded_allow_ips", "\"10.0.0.0/255.0.0.0,10.0.0.0/0.255.255.255\"",
     R"(["10.0.0.0/8","10.0.0.0/8"])"},
    {"forwarded_allow_ips", "\"10.0.0.0/255.0.255.0\"",
     "!'10.0.0.0/255.0.255.0' does not appear to be an IPv4 or IPv6 network"},
    {"forwarded_allow_ips", "\"127.0.0.01\"",
     "!'127.0.0.01' does not appear to be an IPv4 or IPv6 network"},
    {"forwarded_allow_ips", "\"127.0.0.1/33\"",
     "!'127.0.0.1/33' does not appear to be an IPv4 or IPv6 network"},
    {"forwarded_allow_ips", "\"10.0.0.0/8/8\"",
     "!'10.0.0.0/8/8' does not appear to be an IPv4 or IPv6 network"},
    {"forwarded_allow_ips", "\"::1/128,fe80::1%eth0,::ffff:1.2.3.4\"",
     R"(["::1/128","fe80::1%eth0","::ffff:1.2.3.4"])"},
    {"forwarded_allow_ips", "\"2001:db8::1/64\"", "!2001:db8::1/64 has host bits set"},
    {"forwarded_allow_ips", "\"::1/129\"",
     "!'::1/129' does not appear to be an IPv4 or IPv6 network"},
    {"secure_scheme_headers", R"({"B": "1", "A": "2"})", R"({"B":"1","A":"2"})"},
    {"secure_scheme_headers", "[]", "!Value is not a dictionary: [] "},
    {"secure_scheme_headers", R"({"B": 1})", "!Not a string: 1"},
    {"logconfig_dict", R"({"version": 1})", R"({"version":1})"},
    {"chdir", "\"/no/such\"", "!can't chdir to '/no/such'"},
    {"chdir", "\"/usr/./lib/../\"", "\"/usr\""},
    {"chdir", "null", "!join() argument must be str, bytes, or os.PathLike object, not 'NoneType'"},
    {"user", "\"no-such-user\"", "!No such user: 'no-such-user'"},
    {"user", "\"root\"", "0"},
    {"user", "\"1000\"", "1000"},
    {"user", "\"-5\"", "!No such user: '-5'"},
    {"group", "\"no-such-group\"", "!No such group: 'no-such-group'"},
    {"group", "[1]", "!'list' object has no attribute 'isdigit'"},
    {"statsd_host", "\"host:8125\"", "\"host:8125\""},
    {"statsd_host", "\"[::1]:99\"", "\"[::1]:99\""},
    {"statsd_host", "\"unix:///run/s\"", "\"unix:///run/s\""},
    {"statsd_host", "\"a:b:c\"", "!Value must be one of ('host:port', 'unix://PATH')"},
};
INSTANTIATE_TEST_SUITE_P(Texts, Checked, testing::ValuesIn(kTexts));

const Row kChoices[] = {
    {"header_map", "\" Drop \"", "\"drop\""},
    {"header_map", "null", "\"drop\""},
    {"header_map", "5", "!Invalid type for casting: 5"},
    {"header_map", "\"x Y\"", "!Invalid header map behaviour: x Y"},
    {"header_map", "\"drop refuse\"", "!Invalid header map behaviour: drop refuse"},
    {"reload_engine", "\"poll\"", "\"poll\""},
    {"reload_engine", "\"POLL\"", "!Invalid reload_engine: 'POLL'"},
    {"reload_engine", "null", "!Invalid reload_engine: None"},
    {"proxy_protocol", "true", "\"auto\""},
    {"proxy_protocol", "\"none\"", "\"off\""},
    {"proxy_protocol", "\"V2\"", "\"v2\""},
    {"proxy_protocol", "5", "!proxy_protocol must be string or bool"},
    {"proxy_protocol", "\"app\"", "!proxy_protocol must be: off, v1, v2, or auto"},
    {"http_protocols", "\"H2 , h1\"", R"(["h2","h1"])"},
    {"http_protocols", "\"\"", R"(["h1"])"},
    {"http_protocols", "\"h1,h1\"", "!Duplicate protocols specified"},
    {"http_protocols", "\"h3\"", "!Invalid protocol 'h3'. Valid protocols: h1, h2"},
    {"http_protocols", R"(["h1"])", "!http_protocols must be a string"},
    {"http2_cleartext", "true", "\"prior-knowledge\""},
    {"http2_cleartext", "\"BOTH\"", "\"both\""},
    {"http2_cleartext", "\"\"", "!Invalid http2_cleartext: "},
    {"asgi_loop", "\" Z \"", "!Invalid ASGI loop: z"},
    {"asgi_lifespan", "\"ON\"", "\"on\""},
    {"http_parser", "5", "!http_parser must be a string"},
    {"http_parser", "\"Z\"", "!http_parser must be one of: auto, fast, python"},
    {"worker_class", "null", "\"sync\""},
    {"worker_class", "\"gunicorn.workers.gthread.ThreadWorker\"", "\"gthread\""},
    {"worker_class", "\"gevent\"",
     "!class uri 'gevent' invalid or not found: there are no greenlets here; use gthread with "
     "--threads N, N being the requests that wait at a time (slow clients and idle connections "
     "need no thread)"},
    {"worker_class", "\"uvicorn.workers.UvicornWorker\"",
     "!class uri 'uvicorn.workers.UvicornWorker' invalid or not found: ASGI applications are not "
     "served; sync and gthread serve WSGI applications"},
    {"worker_class", "\"mine.Worker\"",
     "!class uri 'mine.Worker' invalid or not found: worker_class must be sync or gthread (with "
     "--threads N)"},
    {"worker_class", "5", "!Not a string: 5"},
    {"paste", "\"x.ini\"",
     "!paste: a PasteDeploy file cannot be loaded; name the application as MODULE:CALLABLE"},
    {"timeout_status", "500", "\"500\""},
    {"timeout_status", "\"by-cause\"", "\"by-cause\""},
    {"timeout_status", "504", "!timeout_status must be one of: 500, by-cause"},
};
INSTANTIATE_TEST_SUITE_P(Choices, Checked, testing::ValuesIn(kChoices));

TEST(Checked, RefusesWhatJsonCannotCarry) {
  for (const char* bytes : {"\xe9", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bytes));
    for (const Layer& value : {Layer(bytes), Layer::array({bytes})}) {
      const auto outcome = checked(*find_setting("bind"), value);
      ASSERT_FALSE(outcome);
      EXPECT_EQ(outcome.error().text, "not UTF-8");
    }
  }
  for (const char* text :
       {"", "a", "\xc3\xa9", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(text));
  }
}

TEST(DefaultOf, IsAcceptedForEverySetting) {
  for (const Setting& setting : settings()) {
    if (setting.kind == Kind::Hook) continue;
    EXPECT_TRUE(checked(setting, Layer::parse(setting.default_json)) ||
                setting.kind == Kind::Directory)
        << setting.name;
  }
  EXPECT_EQ(default_of(*find_setting("user")), ::geteuid());
  EXPECT_EQ(default_of(*find_setting("chdir")).get<std::string>().front(), '/');
}

TEST(PythonText, PrintsAsPythonDoes) {
  EXPECT_EQ(python_str(Layer::parse(R"("it's")")), "it's");
  EXPECT_EQ(python_repr(Layer::parse(R"({"a": "it's", "b": "x\"y\n", "c": [1, null, true, 1.5]})")),
            R"({'a': "it's", 'b': 'x"y\n', 'c': [1, None, True, 1.5]})");
  EXPECT_EQ(python_quoted("both ' and \""), R"('both \' and "')");
  EXPECT_EQ(python_quoted("\x01\t\\"), R"('\x01\t\\')");
}

TEST(PythonInt, RefusesWhatPythonRefuses) {
  for (const char* text :
       {"", "-", "+-1", "_1", "1_", "0x", "0x-1", "1 2", "9223372036854775808"}) {
    EXPECT_FALSE(python_int(text, 0)) << text;
  }
  EXPECT_EQ(python_int("0x_1f", 0), 31);
  EXPECT_EQ(python_int("0o17", 0), 15);
  EXPECT_EQ(python_int("-007", 10), -7);
}

}  // namespace
}  // namespace tricorn::config
