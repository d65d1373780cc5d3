// tricornctl's commands that ask a running server.
#pragma once

#include <string>
#include <vector>

#include "control/words.h"

namespace tricorn::control {

/// All that tricornctl can do; `alias` is done by another program (cli/tricornctl_main.cc).
[[nodiscard]] const std::vector<Command>& commands();

/// Does what the words say; prints to stdout and stderr.
/// @return exit status: 0 done, 1 the server said no or knows no such thing, 2 wrong words or no
/// server
[[nodiscard]] int run(const std::vector<std::string>& words);

}  // namespace tricorn::control
