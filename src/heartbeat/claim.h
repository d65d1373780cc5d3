// Who answers the client of one request: decided by one word, which names the request as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace tricorn::heartbeat {

/// Who may send the first byte of the answer. Both sides change it by compare-and-swap from
/// Pending.
enum class Claim : std::uint32_t {
  None = 0,      ///< no request
  Pending = 1,   ///< nothing was sent yet
  Started = 2,   ///< the worker has begun the response: nobody else may write one
  Farewell = 3,  ///< the arbiter answers; the worker must not write to this connection any more
};

/// The claim to the answer of a slot's request. A thread may end one request and begin the next
/// between any two steps of the arbiter: with the number of the request in the same word, what is
/// meant for the one never takes the answer of the other.
class ClaimWord {
 public:
  [[nodiscard]] Claim load() const { return claim_in(word_.load()); }
  void store(std::uint32_t request_id, Claim claim,
             std::memory_order order = std::memory_order_seq_cst) {
    word_.store(word_of(request_id, claim), order);
  }
  /// @return what it was
  Claim exchange(std::uint32_t request_id, Claim claim) {
    return claim_in(word_.exchange(word_of(request_id, claim), std::memory_order_acq_rel));
  }
  /// The claim to the answer of this request; nothing: the slot's request is another one.
  [[nodiscard]] std::optional<Claim> of(std::uint32_t request_id) const {
    const std::uint32_t word = word_.load(std::memory_order_acquire);
    const Claim claim = claim_in(word);
    return word == word_of(request_id, claim) ? std::optional(claim) : std::nullopt;
  }
  /// @return false: it was not so any more
  [[nodiscard]] bool change(std::uint32_t request_id, Claim from, Claim to) {
    std::uint32_t expected = word_of(request_id, from);
    return word_.compare_exchange_strong(expected, word_of(request_id, to),
                                         std::memory_order_acq_rel);
  }

 private:
  static constexpr std::uint32_t kClaimBits = 2;
  static constexpr Claim claim_in(std::uint32_t word) {
    return static_cast<Claim>(word & ((1U << kClaimBits) - 1));
  }
  // Of the number as many bits as there is room for: the next request has another one.
  static constexpr std::uint32_t word_of(std::uint32_t request_id, Claim claim) {
    return request_id << kClaimBits | static_cast<std::uint32_t>(claim);
  }

  std::atomic<std::uint32_t> word_;
};

}  // namespace tricorn::heartbeat
