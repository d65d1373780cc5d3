// What the loop's epoll says an event is about.
#pragma once

#include <cstdint>

#include "worker/connection.h"

namespace tricorn::worker {

// Tokens of epoll: a connection is (generation << 32 | fd), everything else has this upper half.
inline constexpr std::uint64_t kOwnToken = 0xFFFF'FFFF'0000'0000;
inline constexpr std::uint64_t kWakeToken = kOwnToken | 0xFFFF'FFFF;

inline std::uint64_t token_of(const Connection& connection) {
  return std::uint64_t{connection.generation} << 32 | static_cast<std::uint32_t>(connection.fd);
}

}  // namespace tricorn::worker
