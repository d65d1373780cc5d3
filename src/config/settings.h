// The settings that hold, one typed field per setting under its Gunicorn name.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/setting.h"

namespace tricorn::config {

/// String to string, in the order given.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// A dictionary only Python understands, as JSON text.
struct Tree {
  std::string json;
  bool operator==(const Tree&) const = default;
};

/// The C++ type of a Kind's values; numbers unless specialised.
template <Kind>
struct FieldOf {
  using Type = std::int64_t;
};
template <>
struct FieldOf<Kind::Seconds> {
  using Type = std::chrono::seconds;
};
template <>
struct FieldOf<Kind::Flag> {
  using Type = bool;
};
template <>
struct FieldOf<Kind::FlagOff> {
  using Type = bool;
};
template <>
struct FieldOf<Kind::Text> {
  using Type = std::optional<std::string>;
};
template <>
struct FieldOf<Kind::Word> {
  using Type = std::string;
};
template <>
struct FieldOf<Kind::Directory> {
  using Type = std::string;
};
template <>
struct FieldOf<Kind::List> {
  using Type = std::vector<std::string>;
};
template <>
struct FieldOf<Kind::CommaList> {
  using Type = std::vector<std::string>;
};
template <>
struct FieldOf<Kind::Mapping> {
  using Type = Pairs;
};
template <>
struct FieldOf<Kind::Tree> {
  using Type = Tree;
};

/// What settings.def lists, hooks aside: `workers`, `timeout`, `bind`, ... Filled by from_json();
/// a Settings{} is empty, it does not hold the defaults.
struct Settings {
#define SETTING(name, kind, ...) FieldOf<Kind::kind>::Type name{};
#define HOOK(...)
#include "config/settings.def"
#undef HOOK
#undef SETTING

  bool operator==(const Settings&) const = default;
};

/// One JSON object with every field, as resolve() gives it: what spawner and workers receive.
[[nodiscard]] std::string to_json(const Settings& settings);

/// Reads what to_json() or resolve() wrote; from_json(to_json(s)) equals s.
/// @return Error naming the setting that is missing or of the wrong type. Nothing is validated
/// again.
[[nodiscard]] base::Result<Settings> from_json(std::string_view text);

}  // namespace tricorn::config
