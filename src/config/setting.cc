#include "config/setting.h"

#include <algorithm>

namespace tricorn::config {
namespace {

// Gunicorn checks post_request apart, because it may take two, three or four arguments.
constexpr Check check_of_hook(std::string_view name) {
  return name == "post_request" ? Check::PostRequest : Check::Callable;
}

constexpr Setting kSettings[] = {
#define SETTING(name, kind, default_json, flags, metavar, section, check, lacks, meaning) \
  {#name, Kind::kind, default_json, flags, metavar, section, Check::check, lacks, meaning},
#define HOOK(name, parameters, section, lacks, meaning) \
  {#name, Kind::Hook, "null", "", parameters, section, check_of_hook(#name), lacks, meaning},
#include "config/settings.def"
#undef HOOK
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
