// Whether a value may be a setting's, and what it then is.
#pragma once

#include "base/result.h"
#include "config/parse.h"
#include "config/setting.h"

namespace tricorn::config {

/// Validates and normalises one value as Gunicorn's validators do: "0x10" becomes 16, "a,b" a list,
/// a user's name a number. May look up users, groups and files.
/// @return Error in Gunicorn's words; it does not name the setting
[[nodiscard]] base::Result<Layer> checked(const Setting& setting, const Layer& value);

/// The setting's default, normalised; for chdir, user and group what holds for this process.
[[nodiscard]] Layer default_of(const Setting& setting);

}  // namespace tricorn::config
