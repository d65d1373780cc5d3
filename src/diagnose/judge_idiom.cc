#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

using Judgement = std::optional<Verdict>;

/// Seen to sleep for a moment again and again, not once for long.
bool polls(const Facts& facts) {
  constexpr double kSleepsPerSecond = 1.5;
  return facts.call == Call::Sleep && facts.switches_per_s >= kSleepsPerSecond;
}

/// Asks again and again for a lock that another process has: LOCK_NB, or a package that does so.
Judgement for_polled_file_lock(const Facts& facts) {
  // A peer of a sleep is SQLite's file.
  if (facts.call != Call::Sleep || facts.evidence.peer) return std::nullopt;
  const auto& file = facts.evidence.contended;
  const bool package = waits_in(facts.stack(), "/filelock/", "") ||
                       waits_in(facts.stack(), "/portalocker/utils.py", "acquire");
  const bool refused = file && facts.evidence.handling == "BlockingIOError";
  if (!package && !refused && !(file && polls(facts))) return std::nullopt;
  const std::string time = waited(facts) + often_text(facts);
  std::string because = "asked for a file's lock again and again for " + time;
  if (file) {
    // Of the file alone it is not known that this request wants its lock: both facts are told.
    const char* form = package || refused
                           ? "asked for the lock on {0} again and again for {1}, held by pid {2}"
                           : "slept {1}, while {0}, which it has open, is locked by pid {2}";
    because = fmt::format(fmt::runtime(form), file->address, time, file->holder);
  }
  Verdict verdict = verdict_of(Cause::WaitFileLock, Confidence::Likely, std::move(because));
  if (file) {
    verdict.peer = file->address;
    verdict.hint = fmt::format("ps -fp {}", file->holder);
  }
  return verdict;
}

/// A lock in Redis is waited for by asking for it again and again.
Judgement for_polled_lock(const Facts& facts) {
  const Stack& stack = facts.stack();
  const bool sleeps = facts.call == Call::Sleep && waits_in(stack, "/redis/lock.py", "acquire");
  const bool awaits = !stack.empty() && is_asyncio(stack.front()) &&
                      waits_in(stack, "/redis/asyncio/lock.py", "acquire");
  if (!sleeps && !awaits) return std::nullopt;  // it waits for Redis itself
  return verdict_of(Cause::WaitLock, Confidence::Likely,
                    fmt::format("waited {} for a lock in Redis, which it asks for again and "
                                "again{}",
                                waited(facts), often_text(facts)));
}

/// Whether the application itself called what the innermost frames, all asyncio's, do.
bool called_by_application(const Stack& stack) {
  const auto caller = std::find_if_not(stack.begin(), stack.end(), is_asyncio);
  return caller != stack.end() && has_application_code({*caller});
}

/// "an asyncio.Lock".
std::string primitive_of(const Facts& facts) {
  const std::string& function = facts.stack().front().function;
  const std::string name = function.substr(0, function.find('.'));
  const bool is_class = !name.empty() && name[0] >= 'A' && name[0] <= 'Z';
  return is_class ? "an asyncio." + name : "a lock of asyncio";  // 3.10 has no class there
}

/// Whether a pool of connections is waited for in what asyncio has for that, or in its own future:
/// a pool also makes connections, which is to wait for somebody else.
bool awaits_pool(const Stack& stack) {
  const PythonFrame& front = stack.front();
  return (is_asyncio(front) &&
          (front.file.ends_with("/locks.py") || front.file.ends_with("/queues.py"))) ||
         waits_in({front}, "/aiohttp/connector.py", "_wait_for_available_connection");
}

/// What a coroutine waits for within its event loop, whatever sockets that watches for others.
Judgement for_coroutine(const Facts& facts) {
  if (!watches_descriptors(facts.call) || facts.stack().empty()) return std::nullopt;
  const std::string_view pool = pool_in(facts.stack());
  if (!pool.empty() && awaits_pool(facts.stack())) {
    return verdict_of(Cause::WaitQueue, Confidence::Likely,
                      fmt::format("waited {} for {}", waited(facts), pool_text(pool)));
  }
  if (!is_asyncio(facts.stack().front())) return std::nullopt;
  const auto in = [&](std::string_view file, std::string_view function) {
    return facts.stack().front().file.ends_with(file) && waits_in(facts.stack(), file, function);
  };
  if (in("/asyncio/tasks.py", "sleep")) {
    return verdict_of(Cause::WaitSleep, Confidence::Likely,
                      fmt::format("slept {} (asyncio.sleep)", waited(facts)));
  }
  if (in("/asyncio/queues.py", "")) {
    return verdict_of(
        Cause::WaitQueue, Confidence::Likely,
        fmt::format("waited {} for {}", waited(facts), queue_text(facts.stack().front().function)));
  }
  // Packages await an event where they wait for a socket: only the application's own is one.
  if (in("/asyncio/locks.py", "") && called_by_application(facts.stack())) {
    return verdict_of(Cause::WaitLock, Confidence::Likely,
                      fmt::format("waited {} for {}", waited(facts), primitive_of(facts)));
  }
  return std::nullopt;
}

}  // namespace

std::string often_text(const Facts& facts) {
  return polls(facts) ? fmt::format(", about {:.0f} times a second", facts.switches_per_s) : "";
}

std::optional<Verdict> judge_idiom(const Facts& facts) {
  if (!facts.asleep()) return std::nullopt;
  for (const auto rule : {for_polled_file_lock, for_polled_lock, for_coroutine}) {
    if (auto verdict = rule(facts)) return verdict;
  }
  return std::nullopt;
}

}  // namespace tricorn::diagnose
