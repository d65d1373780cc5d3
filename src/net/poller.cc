#include "net/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

namespace tricorn::net {

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) { TRICORN_CHECK(epoll_.valid()); }

namespace {

epoll_event event_of(std::uint32_t events, std::uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return event;
}

}  // namespace

bool Poller::add(int fd, std::uint32_t events, std::uint64_t token) const {
  epoll_event event = event_of(events, token);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Poller::tell_again(int fd, std::uint32_t events, std::uint64_t token) const {
  epoll_event event = event_of(events, token);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::remove(int fd) const { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

int Poller::wait(std::span<epoll_event> into, int timeout_ms) const {
  const int count =
      ::epoll_wait(epoll_.get(), into.data(), static_cast<int>(into.size()), timeout_ms);
  return count < 0 ? 0 : count;
}

Wakeup::Wakeup() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TRICORN_CHECK(event_.valid());
}

void Wakeup::raise() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
}

void Wakeup::clear() const {
  std::uint64_t count;
  [[maybe_unused]] const auto got = ::read(event_.get(), &count, sizeof count);
}

}  // namespace tricorn::net
