// Memory a worker lends to slow clients, so that their bytes wait here and no app thread does.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace tricorn::worker {

/// Bytes that all connections of a worker may hold beyond what each has anyway. Any thread.
class Allowance {
 public:
  explicit Allowance(std::size_t bytes) : left_(bytes) {}

  /// @return whether there were so many left
  bool take(std::size_t bytes) {
    std::size_t left = left_.load(std::memory_order_relaxed);
    while (left >= bytes) {
      if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void give_back(std::size_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> left_;
};

/// What one exchange has taken of it. One thread at a time.
class Loan {
 public:
  explicit Loan(Allowance& from) : from_(from) {}
  ~Loan() { settle(); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// @return false: it has `most` already, or the worker has lent all
  bool extend(std::size_t step, std::size_t most) {
    if (bytes_ + step > most || !from_.take(step)) return false;
    bytes_ += step;
    return true;
  }
  void settle() {
    if (bytes_ > 0) from_.give_back(std::exchange(bytes_, 0));
  }

 private:
  Allowance& from_;
  std::size_t bytes_ = 0;
};

}  // namespace tricorn::worker
