// What the arbiter tells statsd besides the count of its lines.
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "arbiter/arbiter.h"
#include "base/clock.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kBacklogEveryNs = 1'000'000'000;  // Gunicorn's: each turn of its loop

// Connections the kernel has finished and nobody has accepted; a unix socket does not tell.
std::int64_t backlog_of(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_unacked;
}

}  // namespace

void Arbiter::send_metrics() {
  if (!statsd_.enabled() || state_ != State::Running) return;
  const auto workers = static_cast<unsigned>(std::count_if(
      workers_.begin(), workers_.end(), [](const auto& entry) { return entry.second->counts(); }));
  if (std::exchange(workers_told_, workers) != workers) statsd_.gauge("gunicorn.workers", workers);
  if (!options_.backlog_metric) return;
  const std::int64_t now = base::monotonic_ns();
  if (now >= backlog_told_ns_ + kBacklogEveryNs) {
    backlog_told_ns_ = now;
    std::int64_t backlog = 0;
    for (const BoundListener& listener : listeners_) backlog += backlog_of(listener.fd.get());
    statsd_.histogram("gunicorn.backlog", backlog);
  }
  wake_at(backlog_told_ns_ + kBacklogEveryNs);
}

}  // namespace tricorn::arbiter
