#include "config/resolve.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "config/check.h"
#include "config/python_text.h"
#include "config/setting.h"

namespace tricorn::config {
namespace {

// What depends on two settings. No thread at all could serve nothing.
void complete(Layer& settings) {
  Layer& threads = settings["threads"];
  if (threads == 0) threads = 1;
  if (threads != 1 && settings["worker_class"] == "sync") settings["worker_class"] = "gthread";
}

base::Result<Layer> merged(const Setting& setting, const std::vector<Layer>& low_to_high) {
  Layer holds = default_of(setting);
  for (const Layer& layer : low_to_high) {
    const auto given = layer.find(setting.name);
    if (given == layer.end()) continue;
    auto value = checked(setting, *given);
    if (!value) {
      return base::fail(fmt::format("Invalid value for {}: {}\n\n\nError: {}", setting.name,
                                    python_str(*given), value.error().text));
    }
    holds = std::move(*value);
  }
  return holds;
}

// Qualified name of the hook that does nothing: of a method of a class in Gunicorn.
std::string default_hook(std::string_view hook) {
  constexpr std::pair<std::string_view, std::string_view> kIrregular[] = {
      {"pre_fork", "Prefork"},
      {"post_fork", "Postfork"},
      {"nworkers_changed", "NumWorkersChanged"},
      {"ssl_context", "NewSSLContext"},
  };
  std::string type;
  for (const auto& [name, irregular] : kIrregular) {
    if (name == hook) type = irregular;
  }
  if (type.empty()) {
    bool starts = true;
    for (const char c : hook) {
      if (c != '_') type += starts ? static_cast<char>(c - 'a' + 'A') : c;
      starts = c == '_';
    }
  }
  return fmt::format("{}.{}", type, hook);
}

}  // namespace

base::Result<Layer> resolve(const std::vector<Layer>& low_to_high) {
  Layer all = Layer::object();
  for (const Setting& setting : settings()) {
    if (setting.kind == Kind::Hook) continue;
    auto value = merged(setting, low_to_high);
    if (!value) return value;
    all[std::string(setting.name)] = std::move(*value);
  }
  complete(all);
  return all;
}

std::vector<std::string> warnings_of(const std::vector<Layer>& low_to_high) {
  std::vector<std::string> warnings;
  for (const Setting& setting : settings()) {
    const bool given = std::any_of(low_to_high.begin(), low_to_high.end(), [&](const Layer& layer) {
      return layer.contains(setting.name);
    });
    if (!given) continue;
    const auto value = merged(setting, low_to_high);
    if (setting.kind != Kind::Hook && value && *value == default_of(setting)) continue;
    if (!setting.lacks.empty()) {
      warnings.push_back(fmt::format("Setting {} does not act: {}", setting.name, setting.lacks));
    } else if (setting.name == "worker_tmp_dir") {
      warnings.emplace_back(
          "Setting worker_tmp_dir is not needed: heartbeats live in shared memory");
    }
  }
  return warnings;
}

std::string print_config(const Layer& settings, const Layer& conf) {
  std::map<std::string, std::string> lines;
  std::size_t width = 0;
  for (const auto& [name, value] : settings.items()) {
    lines[name] = python_str(value);
    width = std::max(width, name.size());
  }
  for (const Setting& setting : tricorn::config::settings()) {
    if (setting.kind != Kind::Hook) continue;
    const auto given = conf.find(setting.name);
    const bool own = given != conf.end() && given->is_string();
    lines[std::string(setting.name)] =
        fmt::format("<{}()>", own ? given->get<std::string>() : default_hook(setting.name));
  }
  std::string out;
  for (const auto& [name, value] : lines) out += fmt::format("{:<{}} = {}\n", name, width, value);
  return out;
}

}  // namespace tricorn::config
