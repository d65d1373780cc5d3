#include "config/logging.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/resolve.h"

namespace tricorn::config {
namespace {

Layer settings(const char* changed) {
  auto resolved = resolve({Layer::parse(changed)});
  EXPECT_TRUE(resolved) << resolved.error().text;
  return resolved ? *resolved : Layer::object();
}

TEST(LoggingSettings, TheBuiltInWriterIsTheDefault) {
  EXPECT_FALSE(wants_python_log(settings("{}")));
  EXPECT_FALSE(wants_python_log(settings(R"({"logger_class": "simple", "syslog": true})")));
  EXPECT_TRUE(wants_python_log(settings(R"({"logger_class": "shop.Logger"})")));
  EXPECT_TRUE(wants_python_log(settings(R"({"logconfig": "logging.ini"})")));
  EXPECT_TRUE(wants_python_log(settings(R"({"logconfig_json": "logging.json"})")));
  EXPECT_TRUE(wants_python_log(settings(R"({"logconfig_dict": {"root": {}}})")));
}

TEST(LoggingSettings, TheProgramNameOfSyslog) {
  EXPECT_EQ(syslog_ident(settings(R"({"syslog_prefix": "shop", "proc_name": "x"})"), "error"),
            "gunicorn.shop.error");
  EXPECT_EQ(syslog_ident(settings(R"({"proc_name": "a:b"})"), "access"), "gunicorn.a.b.access");
  EXPECT_EQ(syslog_ident(settings(R"({"default_proc_name": "shop:app"})"), "error"),
            "gunicorn.shop.app.error");
}

}  // namespace
}  // namespace tricorn::config
