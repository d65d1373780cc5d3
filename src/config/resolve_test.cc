#include "config/resolve.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/setting.h"

namespace tricorn::config {
namespace {

Layer layer(const char* json) { return Layer::parse(json); }

TEST(Resolve, LetsTheStrongerSourceWinAndReplacesLists) {
  const auto settings = resolve({layer(R"({"workers": 7, "bind": ["0.0.0.0:5000"]})"),
                                 layer(R"({"workers": 5, "raw_env": ["A=1", "B=2"]})"),
                                 layer(R"({"workers": 6})"), layer(R"({"raw_env": ["C=3"]})")});
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->at("workers"), 6);
  EXPECT_EQ(settings->at("bind"), layer(R"(["0.0.0.0:5000"])"));
  EXPECT_EQ(settings->at("raw_env"), layer(R"(["C=3"])"));
}

TEST(Resolve, HasEverySettingButHooks) {
  const auto settings = resolve({});
  ASSERT_TRUE(settings);
  std::size_t hooks = 0;
  for (const Setting& setting : config::settings()) {
    if (setting.kind == Kind::Hook) ++hooks;
    EXPECT_EQ(settings->contains(setting.name), setting.kind != Kind::Hook) << setting.name;
  }
  EXPECT_EQ(settings->size() + hooks, config::settings().size());
}

TEST(Resolve, IgnoresNamesThatAreNoSettings) {
  const auto settings = resolve({layer(R"({"wrokers": 9, "on_starting": {"!": "function"}})")});
  ASSERT_TRUE(settings);
  EXPECT_FALSE(settings->contains("wrokers"));
  EXPECT_FALSE(settings->contains("on_starting"));
}

TEST(Resolve, NamesTheSettingAndValueThatAreWrong) {
  const auto settings = resolve({layer(R"({"workers": -1})")});
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().text,
            "Invalid value for workers: -1\n\n\nError: Value must be positive: -1");
}

TEST(Resolve, RefusesAWrongValueEvenWhenAStrongerSourceIsRight) {
  EXPECT_FALSE(resolve({layer(R"({"workers": "x"})"), layer(R"({"workers": 2})")}));
}

TEST(Resolve, MakesThreadedSyncGthread) {
  EXPECT_EQ(resolve({layer(R"({"threads": 4})")})->at("worker_class"), "gthread");
  EXPECT_EQ(resolve({layer(R"({"threads": 1})")})->at("worker_class"), "sync");
  EXPECT_EQ(resolve({layer(R"({"threads": 0})")})->at("threads"), 1);
  EXPECT_EQ(resolve({layer(R"({"worker_class": "gthread"})")})->at("threads"), 1);
}

TEST(WarningsOf, SaysWhatASettingDoesNotDo) {
  const auto warnings =
      warnings_of({layer(R"({"spew": true, "workers": 3})"), layer(R"({"certfile": "c"})")});
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(warnings[0], "Setting spew does not act: executed lines are not printed");
  EXPECT_EQ(
      warnings[1],
      "Setting certfile does not act: connections are plain HTTP; let a proxy in front end TLS");
}

TEST(WarningsOf, IsSilentWhenNothingElseThanTheDefaultWasAsked) {
  EXPECT_TRUE(warnings_of({}).empty());
  EXPECT_TRUE(
      warnings_of({layer(R"({"daemon": false, "statsd_host": null, "http_protocols": "h1"})")})
          .empty());
  EXPECT_TRUE(warnings_of({layer(R"({"daemon": true})"), layer(R"({"daemon": false})")}).empty());
}

TEST(WarningsOf, SaysThatHeartbeatsNeedNoDirectory) {
  const auto warnings = warnings_of({layer(R"({"worker_tmp_dir": "/dev/shm"})")});
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], "Setting worker_tmp_dir is not needed: heartbeats live in shared memory");
}

TEST(PrintConfig, PrintsSortedPaddedPythonValues) {
  const std::string text =
      print_config(*resolve({layer(R"({"accesslog": "-", "preload_app": true})")}),
                   layer(R"({"on_exit": "Mine.on_exit"})"));
  EXPECT_EQ(text.substr(0, text.find('\n')),
            "access_log_format                  = %(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s "
            "\"%(f)s\" \"%(a)s\"");
  for (const char* line : {
           "accesslog                          = -\n",
           "bind                               = ['127.0.0.1:8000']\n",
           "forwarded_allow_ips                = ['127.0.0.1', '::1']\n",
           "nworkers_changed                   = <NumWorkersChanged.nworkers_changed()>\n",
           "on_exit                            = <Mine.on_exit()>\n",
           "pidfile                            = None\n",
           "post_worker_init                   = <PostWorkerInit.post_worker_init()>\n",
           "preload_app                        = True\n",
           "secure_scheme_headers              = {'X-FORWARDED-PROTOCOL': 'ssl', "
           "'X-FORWARDED-PROTO': 'https', "
           "'X-FORWARDED-SSL': 'on'}\n",
           "wsgi_app                           = None\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace tricorn::config
