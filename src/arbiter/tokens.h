// What an epoll event of the arbiter is about.
#pragma once

#include <cstdint>

namespace tricorn::arbiter {

enum class Source : std::uint32_t {
  Signals,
  Spawner,
  Control,  ///< a worker's control channel
  Keeper,
  OtherArbiter,
  ControlSocket,
  ControlClient,  ///< who is connected to it: tricornctl
};

inline std::uint64_t token(Source source, int fd) {
  return std::uint64_t{static_cast<std::uint32_t>(source)} << 32 | static_cast<std::uint32_t>(fd);
}
inline Source source_of(std::uint64_t token) { return static_cast<Source>(token >> 32); }
inline int fd_of(std::uint64_t token) { return static_cast<int>(token & 0xFFFF'FFFF); }

}  // namespace tricorn::arbiter
