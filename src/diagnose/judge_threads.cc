#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using Judgement = std::optional<Verdict>;

/// Bit of the futex operation: the lock is not shared with other processes. Source: futex(2)
constexpr std::uint64_t kFutexPrivate = 128;
/// Threads of one chain of locks that are followed.
constexpr std::size_t kChainMax = 16;

std::string place_of(const ThreadLook& thread, const Facts& facts) {
  const PythonFrame* frame = place_in(thread.stack);
  if (frame == nullptr) return "";
  return fmt::format(" at {} in {}", place_text(*frame, facts.evidence.app_directory),
                     frame->function);
}

std::string thread_text(const ThreadLook& thread) {
  return thread.tid == 0 ? "another thread" : fmt::format("thread {}", thread.tid);
}

/// In the last look that shows it: who waits in a loop has the GIL itself for moments in between.
const ThreadLook* holder_of_gil(const Facts& facts) {
  const auto& looks = facts.evidence.looks;
  for (auto look = looks.rbegin(); look != looks.rend(); ++look) {
    for (const ThreadLook& thread : look->threads) {
      if (thread.has_gil && thread.tid != facts.thread->tid) return &thread;
    }
  }
  return nullptr;
}

Judgement for_gil(const Facts& facts) {
  constexpr double kMostLooks = 0.5;
  if (facts.gil_wait_share < kMostLooks) return std::nullopt;
  const ThreadLook* holder = holder_of_gil(facts);
  std::string who = "another thread";
  Verdict verdict = verdict_of(Cause::WaitGil, Confidence::Likely, "");
  if (holder != nullptr && !holder->stack.empty()) {
    if (const PythonFrame* frame = place_in(holder->stack)) {
      verdict.place = place_text(*frame, facts.evidence.app_directory);
      verdict.function = frame->function;
    }
    who = fmt::format("thread {}", holder->tid);
  }
  verdict.because = fmt::format("waited for the GIL, which {} holds", who);
  return verdict;
}

/// The thread that holds a lock, in a word or two more than its place.
std::string activity_of(const ThreadLook& thread) {
  if (thread.waits_for_gil) return ", which waits for the GIL";
  switch (call_of(thread.syscall, thread.args[1])) {
    case Call::None:
      return thread.state == 'R' ? ", which computes" : "";
    case Call::Sleep:
      return ", which sleeps";
    case Call::Futex:
      return ", which waits for another thread";
    case Call::WaitChild:
      return ", which waits for a child process";
    case Call::Receive:
    case Call::Poll:
    case Call::Select:
    case Call::Epoll:
      return ", which waits for data";
    case Call::Connect:
      return ", which waits for a connection";
    default:
      return "";
  }
}

/// From the serving thread to the holder of its lock, from there to the holder of the holder's ...
struct Chain {
  std::vector<const ThreadLook*> holders;  ///< the first has what the serving thread waits for
  bool closed = false;                     ///< the last holder waits for one that was met before
};

Chain chain_from(const Facts& facts) {
  Chain chain;
  const ThreadLook* at = facts.thread;
  while (at != nullptr && chain.holders.size() < kChainMax) {
    const LockWait* wait = facts.lock_wait_of(at->tstate);
    at = wait == nullptr ? nullptr : facts.thread_of(wait->holder);
    if (at == nullptr) return chain;
    const auto& met = chain.holders;
    chain.closed = at == facts.thread || std::find(met.begin(), met.end(), at) != met.end();
    chain.holders.push_back(at);
    if (chain.closed) return chain;
  }
  return chain;
}

Judgement for_deadlock(const Facts& facts) {
  const Chain chain = chain_from(facts);
  if (!chain.closed) return std::nullopt;
  const ThreadLook& first = *chain.holders.front();
  if (&first == facts.thread) {
    return verdict_of(Cause::WaitDeadlock, Confidence::Certain,
                      fmt::format("waited {} for a lock that it holds itself", waited(facts)));
  }
  const bool mutual = chain.holders.back() == facts.thread;
  return verdict_of(Cause::WaitDeadlock, Confidence::Certain,
                    fmt::format("waited {} for a lock (held by {}{}, which waits for {})",
                                waited(facts), thread_text(first), place_of(first, facts),
                                mutual ? "one that this thread holds" : "one held in a circle"));
}

/// A futex wait without a limit on a lock of this process alone.
bool waits_forever(const ThreadLook& thread) {
  constexpr std::size_t kOperation = 1;
  constexpr std::size_t kTimeout = 3;
  return call_of(thread.syscall, thread.args[1]) == Call::Futex && !thread.waits_for_gil &&
         thread.args[kTimeout] == 0 && (thread.args[kOperation] & kFutexPrivate) != 0;
}

/// No Python thread of this worker is left that could let the lock go.
bool nobody_can_release(const Facts& facts) {
  if (!facts.last->python_readable || !facts.last->full) return false;
  return std::all_of(facts.last->threads.begin(), facts.last->threads.end(),
                     [](const ThreadLook& thread) {
                       return !has_application_code(thread.stack) || waits_forever(thread);
                     });
}

/// Waits that something outside the application's threads may end: a queue, an event, a thread's
/// end.
bool waits_for_an_event(const Stack& stack) {
  return waits_in(stack, "threading.py", "Event.wait") ||
         waits_in(stack, "threading.py", "Condition.wait") ||
         waits_in(stack, "threading.py", "wait") || waits_in(stack, "/concurrent/futures/", "");
}

/// The module that the thread waits for is being imported by another one.
bool waits_for_import(const Stack& stack) {
  return waits_in(stack, "<frozen importlib._bootstrap>", "acquire");
}

const ThreadLook* importer(const Facts& facts) {
  for (const ThreadLook& thread : facts.last->threads) {
    if (&thread == facts.thread || waits_for_import(thread.stack)) continue;
    const bool imports =
        std::any_of(thread.stack.begin(), thread.stack.end(), [](const PythonFrame& frame) {
          return frame.file == "<frozen importlib._bootstrap>" &&
                 frame.function == "_find_and_load";
        });
    if (imports) return &thread;
  }
  return nullptr;
}

/// The method of a queue in Python that waits; empty: one in C, which only get() waits for.
std::string_view queue_method(const Stack& stack) {
  for (const std::string_view method : {"get", "put", "join"}) {
    if (waits_in(stack, "queue.py", method) ||
        waits_in(stack, "/multiprocessing/queues.py", method))
      return method;
  }
  return "";
}

/// The only other thread that is in the application's code, which may be installed: it may be who
/// is waited for.
std::string only_other_text(const Facts& facts) {
  const ThreadLook* only = nullptr;
  for (const ThreadLook& thread : facts.last->threads) {
    if (&thread == facts.thread || !has_application_code(thread.stack)) continue;
    if (only != nullptr) return "";
    only = &thread;
  }
  if (only == nullptr) return "";
  const char* form = package_of_thread(only->stack).empty()
                         ? " (the only other thread in the application's code: {}{}{})"
                         : " (the only other thread that is not idle: {}{}{})";
  return fmt::format(fmt::runtime(form), thread_text(*only), place_of(*only, facts),
                     activity_of(*only));
}

bool waits_for_queue(const Facts& facts) {
  const LockWait* wait = facts.lock_wait_of(facts.thread->tstate);
  return waits_in(facts.stack(), "queue.py", "") ||
         waits_in(facts.stack(), "/multiprocessing/queues.py", "") ||
         (wait != nullptr && wait->type == "_queue.SimpleQueue");
}

/// What of, when it is no lock that is let go but something that happens.
const char* event_text(const Facts& facts) {
  if (waits_in(facts.stack(), "threading.py", "join")) return "a thread to end";
  if (waits_in(facts.stack(), "threading.py", "Barrier.wait")) return "other threads at a barrier";
  if (waits_in(facts.stack(), "threading.py", "Semaphore.acquire")) return "a semaphore";
  if (waits_in(facts.stack(), "/concurrent/futures/", "")) return "a future";
  return waits_for_an_event(facts.stack()) ? "an event or condition" : "a lock";
}

/// A driver waits for an event of its own: no server that it could ask was found, or a thread of
/// its own has not got the answer yet.
Judgement for_driver(const Facts& facts) {
  const std::string_view database = database_in(facts.stack());
  if (facts.call != Call::Futex || database.empty() || !pool_in(facts.stack()).empty() ||
      !waits_for_an_event(facts.stack()) || waits_for_queue(facts))
    return std::nullopt;
  Verdict verdict = verdict_of(
      Cause::WaitDatabase, Confidence::Likely,
      fmt::format("waited {} for {}, within its driver, which waits for an event of its own",
                  waited(facts), database));
  verdict.peer = database;
  return verdict;
}

Judgement for_lock(const Facts& facts) {
  if (facts.call != Call::Futex) return std::nullopt;
  if (const std::string_view pool = pool_in(facts.stack()); !pool.empty()) {
    return verdict_of(Cause::WaitQueue, Confidence::Likely,
                      fmt::format("waited {} for {}", waited(facts), pool_text(pool)));
  }
  if (waits_for_queue(facts)) {
    return verdict_of(Cause::WaitQueue, Confidence::Likely,
                      fmt::format("waited {} for {}{}", waited(facts),
                                  queue_text(queue_method(facts.stack())), only_other_text(facts)));
  }
  const bool import = waits_for_import(facts.stack());
  const Chain chain = chain_from(facts);
  const ThreadLook* holder = chain.holders.empty() ? nullptr : chain.holders.front();
  if (import) holder = importer(facts);
  if (holder == nullptr && nobody_can_release(facts) && !waits_for_an_event(facts.stack())) {
    return verdict_of(
        Cause::WaitDeadlock, Confidence::Likely,
        fmt::format("waited {} for a lock, and no thread of this worker can release it",
                    waited(facts)));
  }
  const char* what = import ? "a module whose import is under way, its lock" : event_text(facts);
  const std::string held = holder == nullptr
                               ? waits_for_an_event(facts.stack()) ? only_other_text(facts) : ""
                               : fmt::format(" (held by {}{}{})", thread_text(*holder),
                                             place_of(*holder, facts), activity_of(*holder));
  return verdict_of(Cause::WaitLock, Confidence::Likely,
                    fmt::format("waited {} for {}{}", waited(facts), what, held));
}

}  // namespace

std::string pool_text(std::string_view pool) {
  return fmt::format("a connection of its pool ({}), which has none free", pool);
}

std::string queue_text(std::string_view method) {
  if (method.ends_with("put")) return "room in a full queue";
  if (method.ends_with("join")) return "all items of a queue to be done";
  return "an item of an empty queue";
}

std::string waited(const Facts& facts) {
  const double limit_s = static_cast<double>(facts.evidence.timeout_ns) / 1e9;
  const double ran_s = static_cast<double>(facts.evidence.running_ns) / 1e9;
  const double whole_s = limit_s > 0 ? limit_s : ran_s;
  return fmt::format("{:.1f} of {:.1f} s", facts.waited_s, std::max(whole_s, facts.waited_s));
}

std::optional<Verdict> judge_threads(const Facts& facts) {
  if (auto verdict = for_gil(facts)) return verdict;
  if (!facts.asleep()) return std::nullopt;
  for (const auto rule : {for_deadlock, for_driver, for_lock}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
