#include "config/setting.h"

#include <algorithm>

namespace tricorn::config {
namespace {

constexpr Setting kSettings[] = {
#define SETTING(name, kind, default_json, flags, metavar, section, acts, choices, meaning) \
  {#name, Kind::kind, default_json, flags, metavar, section, acts, choices, meaning},
#include "config/settings.def"
#undef SETTING
};

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  const auto* found = std::find_if(std::begin(kSettings), std::end(kSettings),
                                   [name](const Setting& setting) { return setting.name == name; });
  return found == std::end(kSettings) ? nullptr : found;
}

}  // namespace tricorn::config
