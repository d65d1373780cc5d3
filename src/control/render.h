// The server's answers as text for people. Pure: JSON in, lines out. What comes from applications
// (names, paths) cannot reach the terminal's controls.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tricorn::control {

/// Rows with columns of equal width, two blanks between; the first row is the heading.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows);

[[nodiscard]] std::string render_status(const nlohmann::ordered_json& status);
[[nodiscard]] std::string render_workers(const nlohmann::ordered_json& workers);
[[nodiscard]] std::string render_requests(const nlohmann::ordered_json& requests);
[[nodiscard]] std::string render_stacks(const nlohmann::ordered_json& stacks);
[[nodiscard]] std::string render_incidents(const nlohmann::ordered_json& incidents);

/// "812.4 MB"; "-" below zero.
[[nodiscard]] std::string bytes_text(std::int64_t bytes);
/// "4.2 s", "3 min 4 s", "2 h 3 min", "5 d 1 h".
[[nodiscard]] std::string duration_text(double seconds);
/// A member's text; "-" when it is null or missing.
[[nodiscard]] std::string member(const nlohmann::ordered_json& object, const char* name);
/// Without control characters: they become '?'.
[[nodiscard]] std::string plain(std::string text);

}  // namespace tricorn::control
