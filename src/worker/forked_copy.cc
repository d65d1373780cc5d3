#include "worker/forked_copy.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <string_view>

namespace tricorn::worker {
namespace {

// Between a fork by a process of many threads and what follows, the copy may have locks that nobody
// will release: its last words may hang on one.
constexpr unsigned kLastWordsSeconds = 2;

const heartbeat::Page* g_page = nullptr;  // a fork handler can reach nothing else
const base::Log* g_log = nullptr;
bool g_copy = false;

void in_child() {
  if (!g_page->keep_copy()) return;  // what it writes there would be the worker's
  g_copy = true;
  for (std::uint32_t i = 0; i < g_page->slot_count(); ++i)
    g_page->slot(i).claim.store(heartbeat::Claim::Farewell, std::memory_order_relaxed);
  g_page->header().abort_asked.store(1, std::memory_order_relaxed);
}

}  // namespace

void mark_forked_copies(const heartbeat::Page& page, const base::Log& log) {
  g_page = &page;
  g_log = &log;
  static_cast<void>(::pthread_atfork(nullptr, nullptr, in_child));
}

bool is_forked_copy() { return g_copy; }

void end_if_forked_copy(const heartbeat::Slot& slot) {
  if (!g_copy) return;
  std::signal(SIGALRM, SIG_DFL);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  ::alarm(kLastWordsSeconds);
  g_log->warning(fmt::format(
      "Process {}, forked in {} of worker {}, came back from the application and ends here: its "
      "parent answers",
      ::getpid(), std::string_view(slot.request, slot.request_bytes), g_page->header().pid.load()));
  ::_exit(0);
}

}  // namespace tricorn::worker
