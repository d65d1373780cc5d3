#include "arbiter/inheritance.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace tricorn::arbiter {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

std::optional<std::string> take_variable(const char* name) {
  auto value = variable(name);
  ::unsetenv(name);
  return value;
}

base::Result<int> number(const char* name, std::string_view text) {
  int value = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 0)
    return base::fail(fmt::format("{}: '{}' is no number", name, text), EINVAL);
  return value;
}

base::Result<std::vector<int>> numbers(const char* name, std::string_view text) {
  std::vector<int> found;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    auto value = number(name, text.substr(0, comma));
    if (!value) return base::Unexpected{value.error()};
    found.push_back(*value);
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  }
  return found;
}

}  // namespace

base::Result<Inheritance> take_inheritance() {
  Inheritance inherited;
  if (const auto old = variable(kOldArbiterVariable)) {
    auto pid = number(kOldArbiterVariable, *old);
    if (!pid) return base::Unexpected{pid.error()};
    inherited.old_arbiter = *pid;
  }
  if (variable(kManagedPidVariable) == std::to_string(::getpid())) {
    auto count = number(kManagedCountVariable, variable(kManagedCountVariable).value_or(""));
    if (!count) return base::Unexpected{count.error()};
    for (int i = 0; i < *count; ++i) inherited.fds.push_back(kFirstInheritedFd + i);
    inherited.managed = *count > 0;
    ::unsetenv(kManagedPidVariable);
    ::unsetenv(kManagedCountVariable);
  }
  const auto listeners = take_variable(kListenersVariable);
  const auto channel = take_variable(kOtherArbiterVariable);
  if (inherited.old_arbiter == 0) return inherited;
  if (listeners && !inherited.managed) {
    auto fds = numbers(kListenersVariable, *listeners);
    if (!fds) return base::Unexpected{fds.error()};
    inherited.fds = std::move(*fds);
  }
  if (channel) {
    auto fd = number(kOtherArbiterVariable, *channel);
    if (!fd) return base::Unexpected{fd.error()};
    inherited.other_arbiter = *fd;
  }
  return inherited;
}

}  // namespace tricorn::arbiter
