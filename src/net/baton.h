// Who may touch the event loop: exactly one thread, decided by one atomic word.
//
//          take_back                 lend                     try_steal
//   Held(i) <-------- Lent(i)   Held(i) --------> Lent(i)   Lent(i) --------> Held(j)
//      |  give(j)
//      +--------> Held(j)
//
// An app thread holds the baton while it polls, reads and parses. It lends it out before it calls
// the application and takes it back afterwards: two uncontended atomic operations a request. When
// the call lasts, somebody else steals the lent baton and the loop goes on. Source:
// docs/decisions/0002.
#pragma once

#include <atomic>
#include <cstdint>

namespace tricorn::net {

class Baton {
 public:
  using Id = std::uint32_t;  ///< 1 and up, one for each thread that may hold the baton

  /// @param first  who holds it at the start
  explicit Baton(Id first) : word_(held(first)) {}

  [[nodiscard]] bool held_by(Id who) const {
    return word_.load(std::memory_order_acquire) == held(who);
  }
  /// Whoever has lent it out, 0 when it is held.
  [[nodiscard]] Id lender() const {
    const std::uint32_t word = word_.load(std::memory_order_acquire);
    return (word & kLentBit) != 0 ? word >> 1 : 0;
  }
  /// How many times it was lent: stands still while one call lasts.
  [[nodiscard]] std::uint64_t loans() const { return loans_.load(std::memory_order_relaxed); }

  /// The holder offers it to anyone. Releases what it wrote to the loop. Sequentially consistent,
  /// so that who lends and then looks whether somebody dozes cannot miss one who dozes and then
  /// looks for a loan.
  void lend(Id who) {
    loans_.store(loans_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    word_.exchange(lent(who), std::memory_order_seq_cst);
  }
  /// The lender wants it back. @return false: somebody stole it, the loop is theirs now.
  [[nodiscard]] bool take_back(Id who) {
    std::uint32_t expected = lent(who);
    return word_.compare_exchange_strong(expected, held(who), std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  /// Takes it for `to` while `from` has it on loan. @return false: `from` was faster.
  [[nodiscard]] bool try_steal(Id from, Id to) {
    std::uint32_t expected = lent(from);
    return word_.compare_exchange_strong(expected, held(to), std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }
  /// The holder passes it on. Releases what it wrote to the loop.
  void give(Id to) { word_.store(held(to), std::memory_order_release); }

 private:
  static constexpr std::uint32_t kLentBit = 1;
  static constexpr std::uint32_t held(Id who) { return who << 1; }
  static constexpr std::uint32_t lent(Id who) { return (who << 1) | kLentBit; }

  alignas(64) std::atomic<std::uint32_t> word_;
  std::atomic<std::uint64_t> loans_{0};
};

}  // namespace tricorn::net
