// tricornctl top: the server, its workers and requests, live in the terminal.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "control/client.h"

namespace tricorn::control {

/// What one screen shows: the answers to "status", "workers" and "requests", under these names.
/// @return Error as Client::ask
[[nodiscard]] base::Result<nlohmann::ordered_json> look(Client& client);

/// One screen. Pure.
/// @param seen  as look() gives it
/// @param before  the workers a moment ago, for what they used since; may be empty
/// @param seconds  between the two
[[nodiscard]] std::string screen_of(const nlohmann::ordered_json& seen,
                                    const nlohmann::ordered_json& before, double seconds);

/// The first `rows` lines of a screen, each cut to `columns` characters.
[[nodiscard]] std::string fitted(const std::string& screen, int rows, int columns);

/// Shows screens until q is pressed; one when `once` or when stdout or stdin is no terminal.
/// @return exit status
[[nodiscard]] int top(Client client, bool once);

}  // namespace tricorn::control
