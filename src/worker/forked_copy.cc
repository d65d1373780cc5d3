#include "worker/forked_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/process_title.h"

namespace tricorn::worker {
namespace {

// Between a fork by a process of many threads and what follows, the copy may have locks that nobody
// will release: its last words may hang on one.
constexpr unsigned kLastWordsSeconds = 2;

const heartbeat::Page* g_page = nullptr;  // a fork handler can reach nothing else
const base::Log* g_log = nullptr;
bool g_copy = false;
std::vector<int> g_given_back;
std::optional<base::TitleRoom> g_title_room;
std::string g_title;

/// Another file takes each one's place: a number that is closed would be given to what the child
/// opens next.
void give_back() {
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return;
  for (const int fd : g_given_back) ::dup3(nothing, fd, O_CLOEXEC);
  ::close(nothing);
}

// Between a fork and what the child does, in a process that had other threads: only what a signal
// handler may do, too.
void in_child() {
  ::prctl(PR_SET_NAME, "tricorn-child");
  if (g_title_room) g_title_room->show(g_title);
  give_back();
  if (!g_page->keep_copy()) return;  // what it writes there would be the worker's
  g_copy = true;
  for (std::uint32_t i = 0; i < g_page->slot_count(); ++i) {
    heartbeat::Slot& slot = g_page->slot(i);
    slot.claim.store(slot.request_id.load(std::memory_order_relaxed), heartbeat::Claim::Farewell,
                     std::memory_order_relaxed);
  }
  g_page->header().abort_asked.store(1, std::memory_order_relaxed);
}

}  // namespace

void mark_forked_copies(const heartbeat::Page& page, const base::Log& log,
                        std::vector<int> given_back) {
  g_page = &page;
  g_log = &log;
  g_given_back = std::move(given_back);
  g_title_room = base::TitleRoom::find();
  g_title = fmt::format("tricorn: child of worker {}", ::getpid());
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
