#include "arbiter/references.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cstdint>

namespace tricorn::arbiter {
namespace {

// Beyond this many incidents old ids may come again: the set must not grow for ever.
constexpr std::size_t kRememberedMax = 100'000;

}  // namespace

std::string References::next() {
  if (given_.size() >= kRememberedMax) given_.clear();
  for (;;) {
    std::uint32_t bits = 0;
    if (::getrandom(&bits, sizeof bits, 0) != sizeof bits)
      continue;  // interrupted before the pool was ready
    std::string id = fmt::format("{:06x}", bits & 0xffffff);
    if (given_.insert(id).second) return id;
  }
}

}  // namespace tricorn::arbiter
