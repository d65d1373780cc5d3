// Gunicorn's command lines and printed configurations in a log: is a time-out set, and to what.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/doctor/scan.h"

namespace tricorn::control::doctor {

/// What a gunicorn command line (or GUNICORN_CMD_ARGS) sets.
struct Command {
  bool has_timeout = false;             ///< the option is there, whatever its value
  std::optional<std::int64_t> timeout;  ///< seconds, when the value is a number
  bool has_config = false;              ///< -c or --config
  std::string shown;                    ///< the command for people: values of --env are left out
};

/// The gunicorn command of `text`; flags of `docker run` before it are not its own.
[[nodiscard]] std::optional<Command> find_command(std::string_view text, const Hits& hits);

/// What GUNICORN_CMD_ARGS is set to in `text`.
[[nodiscard]] std::optional<Command> find_command_variable(std::string_view text, const Hits& hits);

/// Watches for Gunicorn's printed configuration, where "timeout: 30" is one line among its
/// neighbours: the same words elsewhere (a probe's, a client's) mean nothing.
class PrintedSettings {
 public:
  /// @return the time-out once it is sure that `text` is part of a configuration
  std::optional<std::int64_t> read(std::string_view text, const Hits& hits);

 private:
  int lines_left_ = 0;
  std::optional<std::int64_t> unsure_;
};

/// "timeout": N of a JSON line that holds settings of Gunicorn and nothing of a message.
[[nodiscard]] std::optional<std::int64_t> json_timeout(std::string_view object);

}  // namespace tricorn::control::doctor
