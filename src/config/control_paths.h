// Where control sockets lie when nobody names a path: the server makes one there, tricornctl looks
// for it there.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tricorn::config {

/// Ending of a control socket's name; before it stands the server's pid.
inline constexpr std::string_view kControlSuffix = ".ctl";

/// Value of a variable, null when it is not set.
using Variable = std::function<const char*(const char* name)>;

/// Directories in the order they are tried: $XDG_RUNTIME_DIR/tricorn, $HOME/.tricorn,
/// /tmp/tricorn-UID. Gunicorn's rule with a directory in place of one file, so that two servers of
/// one user do not clash, and with a last resort for users without a home.
/// Source: gunicorn.md setting 117, docs/decisions/0009
/// @param user  whose servers these are
[[nodiscard]] std::vector<std::string> control_directories(const Variable& variable, uid_t user);

/// Makes `directory` (not its parents) with mode 0700.
/// @return whether it is there, belongs to `user`, and nobody else may write to it
[[nodiscard]] bool prepare_control_directory(const std::string& directory, uid_t user);

}  // namespace tricorn::config
