// A place for one thread to sleep until another wakes it.
#pragma once

#include <atomic>
#include <cstdint>

namespace tricorn::net {

/// One thread parks, any thread unparks. An unpark before the park is not lost. No GIL may be held.
/// Source: futex(2), FUTEX_WAIT_PRIVATE.
class Parker {
 public:
  /// Sleeps until unpark() was called since the last park().
  void park();
  void unpark();

 private:
  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kToken = 1;
  static constexpr std::uint32_t kParked = 2;
  std::atomic<std::uint32_t> word_{kEmpty};
};

}  // namespace tricorn::net
