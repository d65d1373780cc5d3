#include "arbiter/overload.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "arbiter/arbiter.h"
#include "base/clock.h"
#include "diagnose/busy_places.h"

namespace tricorn::arbiter {
namespace {

constexpr unsigned kThreadsLookedAt = 64;

/// Connections in a listener's backlog; 0 for a unix socket, which does not tell.
std::uint64_t backlog_of(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_unacked;  // of a listener: the length of its accept queue. Source: tcp_diag.c
}

bool all_busy(const WorkerProcess& worker) {
  for (std::uint32_t i = 0; i < worker.page.slot_count(); ++i) {
    if (worker.page.slot(i).started_ns.load(std::memory_order_relaxed) == 0) return false;
  }
  return true;
}

}  // namespace

bool OverloadWatch::note(const Load& load, std::int64_t now_ns) {
  if (!load.all_busy || load.waiting == 0) {
    since_ns_ = 0;
    return false;
  }
  if (since_ns_ == 0) {
    since_ns_ = now_ns;
    answered_then_ = load.answered;
  }
  const std::int64_t lasted = now_ns - since_ns_;
  if (lasted < kLastsNs || (told_ns_ != 0 && now_ns - told_ns_ < kAgainNs)) return false;
  // A worker that was replaced takes its count along.
  const std::uint64_t answered =
      load.answered > answered_then_ ? load.answered - answered_then_ : 0;
  const double wait = static_cast<double>(load.waiting) * static_cast<double>(lasted) /
                      static_cast<double>(std::max<std::uint64_t>(answered, 1));
  if (wait < static_cast<double>(kWaitNs)) return false;
  told_ns_ = now_ns;
  return true;
}

void Arbiter::watch_overload() {
  Load load;
  load.all_busy = true;
  unsigned serving = 0;
  for (const auto& [pid, worker] : workers_) {
    if (!worker->in_service()) continue;
    ++serving;
    load.answered += worker->page.header().requests.load(std::memory_order_relaxed);
    load.all_busy = load.all_busy && all_busy(*worker);
  }
  load.all_busy = load.all_busy && serving > 0;
  if (load.all_busy) {  // the rest costs a little
    for (const BoundListener& listener : listeners_) load.waiting += backlog_of(listener.fd.get());
    for (const auto& [pid, worker] : workers_)
      load.waiting += worker->page.header().waiting.load(std::memory_order_relaxed);
  }
  const std::int64_t now = base::monotonic_ns();
  if (overload_.note(load, now)) tell_overload(load.waiting, overload_.lasts_ns(now));
}

void Arbiter::tell_overload(std::uint64_t waiting, std::int64_t lasts_ns) {
  diagnose::BusyPlaces places(options_.app_directory);
  unsigned busy = 0;
  diagnose::Evidence evidence;
  evidence.pid = evidence.arbiter = ::getpid();
  evidence.running_ns = lasts_ns;
  evidence.queued = static_cast<unsigned>(waiting);
  for (const auto& [pid, worker] : workers_) {
    for (std::uint32_t i = 0; i < worker->page.slot_count(); ++i) {
      const heartbeat::Slot& slot = worker->page.slot(i);
      if (worker->leaving || slot.started_ns.load(std::memory_order_relaxed) == 0) continue;
      if (++busy > kThreadsLookedAt) continue;
      auto look = worker->inspector->light_look(diagnose::target_of(slot));
      if (look.threads.empty() || look.threads[0].stack.empty()) continue;
      places.add(look.threads[0].stack);
      if (evidence.looks.empty()) evidence.looks.push_back(std::move(look));
    }
  }
  evidence.busy_threads = busy;
  const std::string where = places.text();
  diagnose::Verdict verdict;
  verdict.cause = diagnose::Cause::OverloadQueue;
  verdict.confidence = diagnose::Confidence::Certain;
  verdict.because = fmt::format(
      "{} requests or connections have waited for {:.1f} s, {} of {} threads busy{}{}", waiting,
      static_cast<double>(lasts_ns) / 1e9, busy, busy, where.empty() ? "" : ": ", where);
  incidents_.overloaded(verdict, evidence, references_.next());
}

}  // namespace tricorn::arbiter
