#include "config/settings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "config/parse.h"

namespace tricorn::config {
namespace {

template <class T>
Layer json_of(const T& value) {
  return Layer(value);
}

Layer json_of(std::chrono::seconds value) { return Layer(value.count()); }

Layer json_of(const std::optional<std::string>& value) { return value ? Layer(*value) : Layer(); }

Layer json_of(const Pairs& value) {
  Layer object = Layer::object();
  for (const auto& [name, text] : value) object[name] = text;
  return object;
}

Layer json_of(const Tree& value) { return Layer::parse(value.json); }

template <class T>
void read(const Layer& json, T& value) {
  json.get_to(value);
}

void read(const Layer& json, std::chrono::seconds& value) {
  value = std::chrono::seconds(json.get<std::int64_t>());
}

void read(const Layer& json, std::optional<std::string>& value) {
  if (!json.is_null()) value = json.get<std::string>();
}

void read(const Layer& json, Pairs& value) {
  for (const auto& [name, text] : json.items()) value.emplace_back(name, text.get<std::string>());
}

void read(const Layer& json, Tree& value) { value.json = json.dump(); }

// The library throws on a wrong type; the name is what the reader of the error needs.
template <class T>
base::Result<void> read_field(const Layer& all, const char* name, T& value) {
  try {
    read(all.at(name), value);
    return {};
  } catch (const Layer::exception& problem) {
    return base::fail(fmt::format("setting {}: {}", name, problem.what()));
  }
}

}  // namespace

std::string to_json(const Settings& settings) {
  Layer all = Layer::object();
#define SETTING(name, ...) all[#name] = json_of(settings.name);
#define HOOK(...)
#include "config/settings.def"
#undef HOOK
#undef SETTING
  return all.dump();
}

base::Result<Settings> from_json(std::string_view text) {
  auto all = layer_from_json(text);
  if (!all) return base::fail("the settings are no JSON object");
  Settings settings;
#define SETTING(name, ...)                                       \
  if (auto done = read_field(*all, #name, settings.name); !done) \
    return base::Unexpected{done.error()};
#define HOOK(...)
#include "config/settings.def"
#undef HOOK
#undef SETTING
  return settings;
}

}  // namespace tricorn::config
