// The command line, GUNICORN_CMD_ARGS, and the environment's defaults.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tricorn::config {

/// Values as one source gave them, not validated: {"workers": "4", "bind": ["a", "b"], "preload_app": true}.
using Layer = nlohmann::json;

/// What a command line asks for.
struct Invocation {
  enum class Action { Serve, Help, Version };
  Action action = Action::Serve;
  std::string app;                   ///< positional; empty: not given
  std::vector<std::string> ignored;  ///< further positionals
  std::string values_json;           ///< the Layer as text, to keep this header light
};

/// Parses arguments as Python's argparse does: unambiguous prefixes, --name=value, -w4, repeated lists.
/// @return Error with code 2 and argparse's text
[[nodiscard]] base::Result<Invocation> parse_arguments(std::span<const std::string> arguments);

/// Splits GUNICORN_CMD_ARGS as shlex.split does. @return Error for an open quote
[[nodiscard]] base::Result<std::vector<std::string>> split_words(std::string_view text);

/// Defaults the environment changes: WEB_CONCURRENCY, PORT, FORWARDED_ALLOW_IPS, SENDFILE.
/// @param get  like getenv: null when not set
[[nodiscard]] Layer environment_layer(const std::function<const char*(const char*)>& get);

/// --help's text.
[[nodiscard]] std::string help_text();

}  // namespace tricorn::config
