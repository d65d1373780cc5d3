#include "config/resolve.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/setting.h"

namespace tricorn::config {
namespace {

using Outcome = base::Result<Layer>;

std::string shown(const Layer& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// A value the configuration file gave that is no plain data.
bool is_foreign(const Layer& value) { return value.is_object() && value.contains("!"); }

// Python's int(text, 0): 0x, 0o, 0b prefixes; a leading zero is refused.
Outcome count_from(const std::string& text) {
  const auto bad = [&] { return base::fail(fmt::format("invalid literal for int() with base 0: '{}'", text)); };
  std::string digits = text;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' || mark == 'X' ? 16 : mark == 'o' || mark == 'O' ? 8 : mark == 'b' || mark == 'B' ? 2 : 0;
    if (base == 0) return bad();
    digits = digits.substr(2);
  } else if (digits.size() == 2 && digits[0] == '0' && digits != "00") {
    return bad();
  }
  char* end = nullptr;
  errno = 0;
  const long long number = std::strtoll(digits.c_str(), &end, base);
  if (digits.empty() || *end != '\0' || errno != 0) return bad();
  if (number < 0) return base::fail(fmt::format("Value must be positive: {}", number));
  return Layer(number);
}

Outcome count(const Layer& value) {
  if (value.is_boolean()) return Layer(value.get<bool>() ? 1 : 0);
  if (value.is_string()) return count_from(value.get<std::string>());
  if (!value.is_number_integer()) return base::fail(fmt::format("Not an integer: {}", shown(value)));
  if (value.get<std::int64_t>() < 0) return base::fail(fmt::format("Value must be positive: {}", shown(value)));
  return value;
}

// umask on the command line is octal when it looks so.
Outcome mask(const Layer& value) {
  if (!value.is_string()) return count(value);
  const std::string text = value.get<std::string>();
  const bool octal = text.size() > 1 && text[0] == '0' && text.find_first_not_of("01234567") == std::string::npos;
  return octal ? Outcome(Layer(std::strtoll(text.c_str(), nullptr, 8))) : count_from(text);
}

Outcome flag(const Layer& value) {
  if (value.is_boolean() || value.is_null()) return Layer(value.is_null() ? false : value.get<bool>());
  if (!value.is_string()) return base::fail(fmt::format("Invalid type for casting: {}", shown(value)));
  std::string text = value.get<std::string>();
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (text == "true") return Layer(true);
  if (text == "false") return Layer(false);
  return base::fail(fmt::format("Invalid boolean: {}", shown(value)));
}

Outcome text(const Layer& value) {
  if (value.is_null()) return value;
  if (!value.is_string()) return base::fail(fmt::format("Not a string: {}", shown(value)));
  std::string stripped = value.get<std::string>();
  stripped.erase(0, std::min(stripped.find_first_not_of(" \t\r\n"), stripped.size()));
  stripped.erase(stripped.find_last_not_of(" \t\r\n") + 1);
  return Layer(stripped);
}

Outcome list(const Layer& value) {
  Layer items = Layer::array();
  if (value.is_null()) return items;
  if (value.is_string()) return Layer::array({value});
  if (!value.is_array()) return base::fail(fmt::format("Not a list: {}", shown(value)));
  for (const Layer& item : value) {
    auto one = text(item);
    if (!one) return one;
    items.push_back(*one);
  }
  return items;
}

Outcome comma_list(const Layer& value) {
  Layer items = Layer::array();
  if (value.is_null()) return items;
  if (!value.is_string()) return base::fail(fmt::format("Not a string: {}", shown(value)));
  std::string rest = value.get<std::string>();
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    auto item = text(Layer(rest.substr(0, comma)));
    if (item && !item->get_ref<const std::string&>().empty()) items.push_back(*item);
    rest.erase(0, comma + 1);
  }
  return items;
}

Outcome choice(const Setting& setting, const Layer& value) {
  auto given = text(value.is_number() ? Layer(value.dump()) : value);
  if (!given || given->is_null()) return given;
  std::string all = fmt::format(" {} ", setting.choices);
  if (all.find(fmt::format(" {} ", given->get<std::string>())) != std::string::npos) return given;
  if (setting.name == "header_map") return base::fail(fmt::format("Invalid header map behaviour: {}", shown(value)));
  return base::fail(fmt::format("Invalid value: {}; it must be one of: {}", shown(value), setting.choices));
}

Outcome mapping(const Layer& value) {
  if (!value.is_object() || is_foreign(value)) return base::fail(fmt::format("Value is not a dictionary: {}", shown(value)));
  return value;
}

Outcome directory(const Layer& value) {
  auto path = text(value);
  if (!path || path->is_null()) return path;
  char resolved[PATH_MAX];
  struct stat status {};
  const std::string& name = path->get_ref<const std::string&>();
  if (::realpath(name.c_str(), resolved) == nullptr || ::stat(resolved, &status) != 0 || !S_ISDIR(status.st_mode)) {
    return base::fail(fmt::format("can't chdir to '{}'", name));
  }
  return Layer(std::string(resolved));
}

Outcome user(const Layer& value) {
  if (value.is_null() || value.is_number_integer()) return value;
  const std::string name = shown(value);
  if (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos) return Layer(std::atoi(name.c_str()));
  const passwd* found = ::getpwnam(name.c_str());
  if (found == nullptr) return base::fail(fmt::format("No such user: '{}'", name));
  return Layer(found->pw_uid);
}

Outcome group(const Layer& value) {
  if (value.is_null() || value.is_number_integer()) return value;
  const std::string name = shown(value);
  if (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos) return Layer(std::atoi(name.c_str()));
  const struct group* found = ::getgrnam(name.c_str());
  if (found == nullptr) return base::fail(fmt::format("No such group: '{}'", name));
  return Layer(found->gr_gid);
}

// Worker classes of Gunicorn and others that this server does not have are refused, not ignored.
Outcome worker_class(const Setting& setting, const Layer& value) {
  auto name = text(value);
  if (!name || setting.name != "worker_class") return name;
  const std::string& given = name->get_ref<const std::string&>();
  for (const std::string_view known : {"sync", "gthread"}) {
    const bool dotted = given == fmt::format("gunicorn.workers.{}.{}Worker", known, known == "sync" ? "Sync" : "Thread");
    if (given == known || dotted) return Layer(std::string(known));
  }
  return base::fail(fmt::format("worker_class '{}' is not available in Tricorn yet; use sync or gthread", given));
}

Outcome checked(const Setting& setting, const Layer& value) {
  if (is_foreign(value) && setting.kind != Kind::Class) {
    return base::fail(fmt::format("a {} cannot be its value", value.at("!").get<std::string>()));
  }
  switch (setting.kind) {
    case Kind::Count: return setting.name == "umask" ? mask(value) : count(value);
    case Kind::Flag:
    case Kind::FlagOff: return flag(value);
    case Kind::Text: return setting.name == "proxy_protocol" && value.is_boolean() ? Outcome(Layer(value.get<bool>() ? "auto" : "off")) : text(value);
    case Kind::Choice: return choice(setting, value);
    case Kind::List: return list(value);
    case Kind::CommaList: return value.is_array() ? list(value) : comma_list(value);
    case Kind::AddressList: return text(value);
    case Kind::Mapping: return mapping(value);
    case Kind::Class: return worker_class(setting, value);
    case Kind::Directory: return directory(value);
    case Kind::User: return user(value);
    case Kind::Group: return group(value);
    case Kind::Hook: return value;
  }
  return value;
}

// What depends on other settings, or on the process.
void complete(Layer& settings) {
  if (settings["chdir"].is_null()) {
    char here[PATH_MAX];
    settings["chdir"] = ::getcwd(here, sizeof here) != nullptr ? here : "/";
  }
  if (settings["worker_class"] == "sync" && settings["threads"].get<std::int64_t>() > 1) settings["worker_class"] = "gthread";
  if (settings["threads"] == 0) settings["threads"] = 1;
}

std::string python_text(const Layer& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  std::string out = value.is_array() ? "[" : "{";
  for (const auto& [key, item] : value.items()) {
    if (out.size() > 1) out += ", ";
    if (value.is_object()) out += fmt::format("'{}': ", key);
    out += item.is_string() ? fmt::format("'{}'", item.get<std::string>()) : python_text(item);
  }
  return out + (value.is_array() ? "]" : "}");
}

}  // namespace

base::Result<Layer> resolve(const std::vector<Layer>& low_to_high) {
  Layer settings_now = Layer::object();
  for (const Setting& setting : settings()) {
    if (setting.kind == Kind::Hook) continue;
    const std::string name(setting.name);
    settings_now[name] = Layer::parse(setting.default_json);
    for (const Layer& layer : low_to_high) {
      const auto given = layer.find(name);
      if (given == layer.end()) continue;
      auto value = checked(setting, *given);
      if (!value) {
        return base::fail(fmt::format("Invalid value for {}: {}\n\nError: {}", name, shown(*given), value.error().text));
      }
      settings_now[name] = std::move(*value);
    }
  }
  complete(settings_now);
  return settings_now;
}

std::vector<std::string> warnings_of(const std::vector<Layer>& low_to_high) {
  std::vector<std::string> warnings;
  for (const Setting& setting : settings()) {
    const bool given = std::any_of(low_to_high.begin(), low_to_high.end(),
                                   [&](const Layer& layer) { return layer.contains(std::string(setting.name)); });
    if (!given) continue;
    if (!setting.acts) warnings.push_back(fmt::format("Setting {} is accepted but does nothing yet", setting.name));
    if (setting.name == "worker_tmp_dir") warnings.push_back("Setting worker_tmp_dir is not needed: the heartbeat lives in shared memory");
  }
  return warnings;
}

std::string print_config(const Layer& settings_now) {
  std::size_t width = 0;
  for (const auto& [name, value] : settings_now.items()) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : settings_now.items()) out += fmt::format("{:<{}} = {}\n", name, width, python_text(value));
  return out;
}

std::string describe_markdown() {
  std::string out =
      "# Settings\n\nGenerated from `src/config/settings.def`. Names, flags and defaults are Gunicorn's; the last section is\n"
      "ours. A setting that does not act is parsed and checked, and a WARNING says so when somebody gives it.\n";
  std::string_view section;
  for (const Setting& setting : settings()) {
    if (setting.section != section) {
      section = setting.section;
      out += fmt::format("\n## {}\n\n| setting | flags | default | acts | meaning |\n|---|---|---|---|---|\n", section);
    }
    std::string flags;
    for (std::string_view rest = setting.flags; !rest.empty();) {
      const std::size_t space = std::min(rest.find(' '), rest.size());
      flags += fmt::format("{}`{}`", flags.empty() ? "" : " ", rest.substr(0, space));
      rest.remove_prefix(std::min(space + 1, rest.size()));
    }
    out += fmt::format("| `{}` | {} | `{}` | {} | {} |\n", setting.name, flags, setting.default_json,
                       setting.acts ? "yes" : "no", setting.meaning);
  }
  return out;
}

}  // namespace tricorn::config
