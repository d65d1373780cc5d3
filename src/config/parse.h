// What the command line, GUNICORN_CMD_ARGS and the environment say, not yet validated.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tricorn::config {

/// Values as one source gave them, by setting: {"workers": 4, "bind": ["a", "b"]}. A configuration
/// file may hold names that are no settings, and {"!": "function"} for a value that JSON cannot
/// carry.
using Layer = nlohmann::ordered_json;

/// What a command line asks for.
struct Invocation {
  enum class Action { Serve, Help, Version };
  Action action = Action::Serve;
  std::string app;                   ///< positional; empty: not given
  std::vector<std::string> ignored;  ///< words after it, which Gunicorn ignores too
  std::string values_json = "{}";    ///< the Layer as text, which keeps this header light
};

/// Parses arguments as Python's argparse does: unambiguous prefixes, --name=value, -w4, -Dw4,
/// repeated lists, -- before the positional, and the first -h or -v ends the matter.
/// @param arguments  without the program's name
/// @return Error with code 2 and argparse's two lines, for stderr and exit code 2
[[nodiscard]] base::Result<Invocation> parse_arguments(std::span<const std::string> arguments);

/// Splits GUNICORN_CMD_ARGS into words as Python's shlex.split does.
/// @return Error for an open quote or a backslash at the end
[[nodiscard]] base::Result<std::vector<std::string>> split_words(std::string_view text);

/// Defaults the environment changes: WEB_CONCURRENCY, PORT, FORWARDED_ALLOW_IPS, SENDFILE.
/// @param get  like getenv: null when not set
[[nodiscard]] Layer environment_layer(const std::function<const char*(const char*)>& get);

/// Reads the configuration file's values as the spawner sends them. @return Error when that is no
/// JSON object
[[nodiscard]] base::Result<Layer> layer_from_json(std::string_view text);

/// --help's text, ending in a newline.
[[nodiscard]] std::string help_text();

}  // namespace tricorn::config
