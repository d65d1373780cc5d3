// Settings as text: GUNICORN_CMD_ARGS, command lines, values of a configuration file. Whatever is
// given, the outcome is settings or an error that says which one is wrong. The first byte chooses
// the source.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "config/check.h"
#include "config/parse.h"
#include "config/python_text.h"
#include "config/resolve.h"
#include "config/settings.h"

namespace {

using namespace tricorn::config;
using Words = std::vector<std::string>;

// As a shell quotes: nothing but the quote itself means anything between single quotes.
std::string quoted(const Words& words) {
  std::string line;
  for (const std::string& word : words) {
    line += line.empty() ? "'" : " '";
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

Words separated_by_nul(std::string_view text) {
  Words words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// What is in force goes to the workers as JSON, is printed, and would be accepted again.
void check_promises(const Layer& in_force) {
  const std::string json = in_force.dump();
  const auto read = from_json(json);
  TRICORN_CHECK(read.has_value());
  TRICORN_CHECK(Layer::parse(to_json(*read)) == Layer::parse(json));
  const std::string printed = print_config(in_force, Layer::object());
  for (const auto& [name, value] : in_force.items()) {
    TRICORN_CHECK(printed.find(name + " ") != std::string::npos);
    if (value.is_structured() || value.is_null()) continue;
    const auto again = checked(*find_setting(name), value);
    TRICORN_CHECK(again.has_value() && *again == value);
    // A line of --print-config says what would be typed.
    if (!value.is_number_integer()) continue;
    TRICORN_CHECK(python_int(python_str(value), 10) == value.get<std::int64_t>());
  }
}

// The error begins with the setting's name and ends with what is wrong.
bool names_a_setting(std::string_view text) {
  constexpr std::string_view kLead = "Invalid value for ";
  if (!text.starts_with(kLead) || text.find("\n\nError: ") == std::string_view::npos) return false;
  text.remove_prefix(kLead.size());
  return find_setting(text.substr(0, text.find(':'))) != nullptr;
}

void try_layer(const Layer& layer) {
  const auto resolved = resolve({layer});
  if (!resolved) {
    TRICORN_CHECK(names_a_setting(resolved.error().text));
    return;
  }
  check_promises(*resolved);
  for (const std::string& warning : warnings_of({layer}))
    TRICORN_CHECK(warning.starts_with("Setting "));
}

void try_words(const Words& words) {
  const auto invocation = parse_arguments(words);
  if (!invocation) {
    const std::string& text = invocation.error().text;
    TRICORN_CHECK(invocation.error().code == 2 && text.starts_with("usage: tricorn "));
    TRICORN_CHECK(text.find("\ntricorn: error: ") != std::string::npos);
    return;
  }
  if (invocation->action != Invocation::Action::Serve) return;
  try_layer(Layer::parse(invocation->values_json));
}

void try_variable(std::string_view text) {
  const auto words = split_words(text);
  if (!words) {
    TRICORN_CHECK(words.error().text.starts_with("GUNICORN_CMD_ARGS: "));
    return;
  }
  const auto again = split_words(quoted(*words));
  TRICORN_CHECK(again.has_value() && *again == *words);
  try_words(*words);
}

void try_environment(const Words& values) {
  constexpr const char* kNames[] = {"WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "SENDFILE"};
  try_layer(environment_layer([&](const char* name) -> const char* {
    const auto at = static_cast<std::size_t>(
        std::find(std::begin(kNames), std::end(kNames), std::string_view(name)) - kNames);
    return at < values.size() ? values[at].c_str() : nullptr;
  }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  switch (bytes[0]) {
    case 'v':
      try_variable(text);
      break;
    case 'a':
      try_words(separated_by_nul(text));
      break;
    case 'e':
      try_environment(separated_by_nul(text));
      break;
    case 'f':
      if (const auto layer = layer_from_json(text)) try_layer(*layer);
      break;
    default:
      break;
  }
  return 0;
}
