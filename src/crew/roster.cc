#include "crew/roster.h"

namespace tricorn::crew {

Roster::Roster(std::uint32_t threads) : baton_(1) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->index = i;
    members_.back()->id = i + 1;
  }
}

// The number is for those who look without the lock.
void Roster::count_resting() {
  resting_count_.store(static_cast<std::uint32_t>(resting_.size()), std::memory_order_relaxed);
}

void Roster::begin_rest(Member& member) {
  const std::lock_guard lock(mutex_);
  member.resting = true;
  resting_.push_back(&member);
  count_resting();
}

void Roster::end_rest(Member& member) {
  const std::lock_guard lock(mutex_);
  std::erase(resting_, &member);
  member.resting = false;
  count_resting();
}

bool Roster::rests(const Member& member) {
  const std::lock_guard lock(mutex_);
  return member.resting;
}

Member* Roster::take_resting() {
  if (resting_count_.load(std::memory_order_relaxed) == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  if (resting_.empty()) return nullptr;
  Member* member = resting_.back();
  resting_.pop_back();
  member->resting = false;
  count_resting();
  return member;
}

void Roster::hand_to(Member& member) {
  baton_.give(member.id);
  member.parker.unpark();
}

void Roster::wake_all() const {
  for (const auto& member : members_) member->parker.unpark();
  doorbell_.raise();
}

void Roster::ring_if_dozing() {
  // lend() is sequentially consistent, so either we see it doze or it sees the loan.
  if (dozing_.load() && dozing_.exchange(false)) doorbell_.raise();
}

bool Roster::try_doze() {
  dozing_.store(true);
  if (baton_.lender() == 0) return true;
  dozing_.store(false);
  return false;
}

}  // namespace tricorn::crew
