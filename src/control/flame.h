// Forms of a profile for people and their tools. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tricorn::control {

/// Milliseconds by collapsed stack: "outer (file:line);inner (file:line)".
using Stacks = std::map<std::string, std::int64_t, std::less<>>;

/// The member "stacks" of a profile or of a slow request's report.
/// @return Error when there is none
[[nodiscard]] base::Result<Stacks> stacks_of(const nlohmann::ordered_json& data);

/// One line each, "stack milliseconds": what flamegraph.pl, inferno and speedscope read.
[[nodiscard]] std::string collapsed_text(const Stacks& stacks);

/// A file for https://www.speedscope.app. Source: its file-format-schema.json, "sampled" profiles
[[nodiscard]] std::string speedscope_json(std::string_view name, const Stacks& stacks);

/// A flame graph that needs nothing but a browser: each row is a caller, widths are time, the
/// pointer over a row shows its name and share.
[[nodiscard]] std::string flame_svg(std::string_view title, const Stacks& stacks);

/// One of the three by its name: "collapsed", "speedscope" or "svg". @return Error for others
[[nodiscard]] base::Result<std::string> in_format(std::string_view format, std::string_view title,
                                                  const Stacks& stacks);

}  // namespace tricorn::control
