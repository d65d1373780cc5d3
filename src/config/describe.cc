#include "config/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "config/parse.h"
#include "config/python_text.h"
#include "config/setting.h"

namespace tricorn::config {
namespace {

// A bar would end the table's cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string flags_of(const Setting& setting) {
  if (setting.flags.empty()) return "configuration file only";
  std::string out;
  for (std::string_view rest = setting.flags; !rest.empty();) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    out += fmt::format("{}`{}`", out.empty() ? "" : ", ", rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return out;
}

// A default that depends on the process is told in the meaning.
std::string standing(const Setting& setting) {
  const std::string text = python_str(Layer::parse(setting.default_json));
  if (setting.default_json == "null") return "";
  return text.empty() ? "empty" : fmt::format("`{}`", cell(text));
}

std::string row(const Setting& setting) {
  const bool hook = setting.kind == Kind::Hook;
  const std::string acts = setting.lacks.empty() ? "yes" : fmt::format("no: {}", setting.lacks);
  const std::string name =
      hook ? fmt::format("{}({})", setting.name, setting.metavar) : std::string(setting.name);
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", name, flags_of(setting), standing(setting),
                     cell(acts), cell(setting.meaning));
}

// Gunicorn's order comes back to some sections; a reader wants each once.
std::vector<std::string_view> sections() {
  std::vector<std::string_view> names;
  for (const Setting& setting : settings()) {
    if (std::find(names.begin(), names.end(), setting.section) == names.end())
      names.push_back(setting.section);
  }
  return names;
}

}  // namespace

std::string describe_markdown() {
  std::string out =
      "# Settings\n\n"
      "Generated from `src/config/settings.def` by `config_test`; do not edit.\n\n"
      "Names, flags, defaults and checks are Gunicorn's; the section Tricorn is ours. A setting "
      "that does not act\n"
      "is still parsed and checked, and when it is given another value than its default, one "
      "WARNING says what it\n"
      "does not do.\n\n"
      "Sources, the stronger last: the defaults; the variables `WEB_CONCURRENCY`, `PORT`, "
      "`FORWARDED_ALLOW_IPS` and\n"
      "`SENDFILE`; the configuration file; `GUNICORN_CMD_ARGS`; the command line. A stronger "
      "source replaces a\n"
      "list as a whole. Flags may be abbreviated as long as they stay unambiguous.\n";
  for (const std::string_view section : sections()) {
    out += fmt::format(
        "\n## {}\n\n| setting | flags | default | acts | meaning |\n|---|---|---|---|---|\n",
        section);
    for (const Setting& setting : settings()) {
      if (setting.section == section) out += row(setting);
    }
  }
  return out;
}

std::string describe_options_markdown() {
  std::string out = "| option | default | meaning |\n|---|---|---|\n";
  for (const Setting& setting : settings()) {
    if (!setting.lacks.empty() || setting.flags.empty()) continue;
    out += fmt::format("| {} | {} | {} |\n", flags_of(setting), standing(setting),
                       cell(setting.meaning));
  }
  return out;
}

namespace {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::Count:
    case Kind::Large:
    case Kind::Seconds:
      return "int";
    case Kind::Mode:
      return "mode";
    case Kind::Flag:
      return "flag";
    case Kind::FlagOff:
      return "flag off";
    case Kind::List:
      return "list";
    case Kind::Hook:
      return "hook";
    case Kind::CommaList:
      return "comma list";
    case Kind::Untyped:
    case Kind::Text:
    case Kind::Word:
    case Kind::Directory:
    case Kind::User:
    case Kind::Group:
    case Kind::Mapping:
    case Kind::Tree:
      return "text";
  }
  return "text";
}

}  // namespace

std::string describe_json() {
  std::string text = "[\n";
  for (const Setting& setting : settings()) {
    Layer row = Layer::object();
    row["name"] = setting.name;
    row["section"] = setting.section;
    row["flags"] = setting.flags;
    row["kind"] = kind_name(setting.kind);
    row["metavar"] = setting.metavar;
    row["default"] =
        setting.kind == Kind::Hook ? Layer(nullptr) : Layer::parse(setting.default_json);
    row["meaning"] = setting.meaning;
    text += fmt::format("{}{}", row.dump(), &setting == &settings().back() ? "\n]\n" : ",\n");
  }
  return text;
}

}  // namespace tricorn::config
