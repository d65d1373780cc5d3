#include "config/logging.h"

#include <nlohmann/json.hpp>

namespace tricorn::config {
namespace {

std::string text(const Layer& settings, const char* name) {
  const Layer& value = settings.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

}  // namespace

base::LogOptions error_log_of(const Layer& settings) {
  base::LogOptions options;
  options.path = text(settings, "errorlog");
  options.threshold = base::level_from(text(settings, "loglevel"));
  if (settings.at("log_format") == "json") options.style = base::Style::Json;
  return options;
}

bool wants_python_log(const Layer& settings) {
  const std::string logger = text(settings, "logger_class");
  const bool own = !logger.empty() && logger != "gunicorn.glogging.Logger" && logger != "simple";
  return own || !text(settings, "logconfig").empty() || !text(settings, "logconfig_json").empty() ||
         !settings.at("logconfig_dict").empty();
}

std::string syslog_ident(const Layer& settings, std::string_view log) {
  std::string prefix = text(settings, "syslog_prefix");
  if (prefix.empty()) {
    prefix = text(settings, "proc_name");
    if (prefix.empty()) prefix = text(settings, "default_proc_name");
    for (char& c : prefix) c = c == ':' ? '.' : c;
  }
  return "gunicorn." + prefix + "." + std::string(log);
}

}  // namespace tricorn::config
