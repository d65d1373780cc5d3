// Sole owner of one file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace tricorn::base {

/// Closes its descriptor when it goes. Movable, not copyable. There is no conversion to bool:
/// 0 is a valid descriptor (ask with valid()).
class UniqueFd {
 public:
  UniqueFd() = default;
  /// Takes ownership of `fd`; -1 means none.
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }

  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  /// Gives ownership away; the caller closes it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  /// Closes what is held and takes `fd`. EINTR from close needs no retry on Linux: close(2).
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace tricorn::base
