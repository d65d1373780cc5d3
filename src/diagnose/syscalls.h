// What kinds of waiting the system calls are, by their number on this machine.
#pragma once

#include <array>
#include <cstdint>

namespace tricorn::diagnose {

/// What a blocked system call is good for.
enum class Call {
  None,     ///< not in a system call
  Sleep,    ///< nanosleep
  Receive,  ///< read, recv*
  Send,     ///< write, send*
  Connect,
  Accept,
  Poll,    ///< args[0] pollfd array, args[1] its length
  Select,  ///< args[0] highest fd + 1, args[1..3] fd_set
  Epoll,   ///< args[0] epoll fd
  Futex,
  WaitChild,
  FileLock,  ///< flock, or fcntl with a waiting lock command
  Signal,    ///< pause, sigwait
  Open,      ///< open, stat, rename and their like: a file by its name
  Sync,
  Other,
};

/// @param number  as in /proc/PID/syscall, -1 none
/// @param second  its second argument (tells fcntl's commands apart)
[[nodiscard]] Call call_of(std::int64_t number, std::uint64_t second);

/// Whether descriptors are watched: Poll, Select or Epoll.
[[nodiscard]] constexpr bool watches_descriptors(Call call) {
  return call == Call::Poll || call == Call::Select || call == Call::Epoll;
}

/// Whether it is about data that comes or goes, now or when a descriptor is ready.
[[nodiscard]] constexpr bool is_of_data(Call call) {
  return call == Call::Receive || call == Call::Send || watches_descriptors(call);
}

/// Address of the path that a call of the kind Open was given; 0: it has none.
[[nodiscard]] std::uint64_t path_argument(std::int64_t number,
                                          const std::array<std::uint64_t, 6>& args);

}  // namespace tricorn::diagnose
