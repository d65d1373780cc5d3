// Time-outs of many connections that share a few durations: one queue a duration, so arming, moving
// and dropping one costs a few pointer writes and nobody ever sorts.
#pragma once

#include <cstdint>

namespace tricorn::net {

/// What a thing with a deadline carries. Must stay where it is while armed.
struct Deadline {
  Deadline* previous = nullptr;
  Deadline* next = nullptr;
  std::int64_t at_ns = 0;  ///< monotonic

  [[nodiscard]] bool armed() const { return previous != nullptr; }
  /// Takes it off its queue; harmless when it is on none.
  void disarm() {
    if (!armed()) return;
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
};

/// Deadlines that all lie the same duration after their arming, hence in order of arming.
class DeadlineQueue {
 public:
  /// @param duration_ns  0 or less: never, arm() then does nothing
  explicit DeadlineQueue(std::int64_t duration_ns) : duration_ns_(duration_ns) {
    head_.previous = head_.next = &head_;
  }
  DeadlineQueue(const DeadlineQueue&) = delete;
  DeadlineQueue& operator=(const DeadlineQueue&) = delete;

  /// Puts `deadline` at duration after `now_ns`, off whatever queue it was on.
  void arm(Deadline& deadline, std::int64_t now_ns) {
    deadline.disarm();
    if (duration_ns_ <= 0) return;
    deadline.at_ns = now_ns + duration_ns_;
    deadline.previous = head_.previous;
    deadline.next = &head_;
    head_.previous->next = &deadline;
    head_.previous = &deadline;
  }
  /// The one that is due first, null when there is none.
  [[nodiscard]] Deadline* first() const { return head_.next == &head_ ? nullptr : head_.next; }

 private:
  std::int64_t duration_ns_;
  Deadline head_;
};

}  // namespace tricorn::net
