// tricornctl's commands that ask a running server.
#pragma once

#include <string>
#include <vector>

namespace tricorn::control {

/// Does what the words say; prints to stdout and stderr.
/// @return exit status: 0 done, 1 the server said no or knows no such thing, 2 wrong words or no
/// server
[[nodiscard]] int run(const std::vector<std::string>& words);

}  // namespace tricorn::control
