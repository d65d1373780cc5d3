#include "net/parker.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tricorn::net {
namespace {

void futex(std::atomic<std::uint32_t>* word, int operation, std::uint32_t value) {
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), operation, value, nullptr, nullptr,
            0);
}

}  // namespace

void Parker::park() {
  std::uint32_t seen = kEmpty;
  if (word_.compare_exchange_strong(seen, kParked, std::memory_order_acquire)) seen = kParked;
  while (seen == kParked) {
    futex(&word_, FUTEX_WAIT_PRIVATE, kParked);  // returns early on a signal: look again
    seen = word_.load(std::memory_order_acquire);
  }
  word_.store(kEmpty, std::memory_order_relaxed);
}

void Parker::unpark() {
  if (word_.exchange(kToken, std::memory_order_release) == kParked)
    futex(&word_, FUTEX_WAKE_PRIVATE, 1);
}

}  // namespace tricorn::net
