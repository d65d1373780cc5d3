// The app threads of a worker: who leads, who rests, who waits for the GIL. What the threads
// themselves (worker/crew.h) and the sentinel (caretaker.h) share; it knows nothing of Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "net/baton.h"
#include "net/parker.h"
#include "net/poller.h"

namespace tricorn::crew {

/// A request that no application has seen.
class Unbegun {
 protected:
  ~Unbegun() = default;
};

/// Whether the GIL can be had, found out by a thread that rests.
enum class Probe { None, Asked, Had };

struct Member {
  std::uint32_t index = 0;
  net::Baton::Id id = 0;
  net::Parker parker;
  bool resting = false;  ///< under Roster's lock
  std::atomic<Probe> probe{Probe::None};
  /// Its request while it waits for the GIL; whoever sets this to null has the request.
  std::atomic<Unbegun*> waiting{nullptr};
};

class Roster {
 public:
  static constexpr net::Baton::Id kSentinel = 0x7FFF'0000;

  /// @param threads  at least 1; the first one leads
  explicit Roster(std::uint32_t threads);

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(members_.size()); }
  [[nodiscard]] Member& member(std::uint32_t index) const { return *members_[index]; }
  [[nodiscard]] net::Baton& baton() { return baton_; }

  void begin_rest(Member& member);
  /// It found something to do by itself.
  void end_rest(Member& member);
  [[nodiscard]] bool rests(const Member& member);
  /// Whoever rested last, for the caller to hand_to(): its stack is warm. Null: nobody rests.
  [[nodiscard]] Member* take_resting();
  /// Gives it the baton and wakes it. The baton's holder.
  void hand_to(Member& member);
  void wake_all() const;

  /// Rung when the sentinel has something to look at.
  [[nodiscard]] const net::Wakeup& doorbell() const { return doorbell_; }
  /// By whoever has just lent the baton.
  void ring_if_dozing();
  /// The sentinel sleeps until ring_if_dozing(). @return false: the baton is lent just now
  [[nodiscard]] bool try_doze();
  [[nodiscard]] bool dozing() const { return dozing_.load(); }

 private:
  void count_resting();

  std::vector<std::unique_ptr<Member>> members_;
  net::Baton baton_;
  net::Wakeup doorbell_;
  std::mutex mutex_;  // guards `resting`
  std::vector<Member*> resting_;
  std::atomic<std::uint32_t> resting_count_{0};
  std::atomic<bool> dozing_{false};
};

}  // namespace tricorn::crew
