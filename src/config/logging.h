// What the settings say about logs, for arbiter and workers alike.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"
#include "config/parse.h"

namespace tricorn::config {

/// errorlog, loglevel and log_format. @param settings  resolved, as in resolve()
[[nodiscard]] base::LogOptions error_log_of(const Layer& settings);

/// logger_class or logconfig* is set: only Python's logging can do that.
[[nodiscard]] bool wants_python_log(const Layer& settings);

/// Program name of syslog lines: "gunicorn.PREFIX.LOG". @param log  "error" or "access"
[[nodiscard]] std::string syslog_ident(const Layer& settings, std::string_view log);

}  // namespace tricorn::config
