// epoll, and the eventfd that wakes it.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "base/unique_fd.h"

namespace tricorn::net {

/// One epoll instance. Aborts when the kernel refuses one at construction: a worker without it is
/// none.
class Poller {
 public:
  Poller();
  [[nodiscard]] int fd() const { return epoll_.get(); }
  /// @param events  EPOLLIN, EPOLLET ...; @param token  given back by wait(). @return false with
  /// errno.
  bool add(int fd, std::uint32_t events, std::uint64_t token) const;
  /// Tells of what there is of a descriptor once more, though EPOLLET has told of it already.
  /// Parameters as above. Source: epoll_ctl(2), EPOLL_CTL_MOD
  void tell_again(int fd, std::uint32_t events, std::uint64_t token) const;
  void remove(int fd) const;
  /// @param timeout_ms  -1 waits for ever. @return how many of `into` are filled; 0 on time-out or
  /// a signal.
  [[nodiscard]] int wait(std::span<epoll_event> into, int timeout_ms) const;

 private:
  base::UniqueFd epoll_;
};

/// A counter other threads (and signal handlers) raise to wake a poller.
class Wakeup {
 public:
  Wakeup();
  [[nodiscard]] int fd() const { return event_.get(); }
  /// Async-signal-safe.
  void raise() const;
  /// Takes the count back to zero.
  void clear() const;

 private:
  base::UniqueFd event_;
};

}  // namespace tricorn::net
