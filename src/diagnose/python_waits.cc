#include "diagnose/python_waits.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "diagnose/coroutines.h"
#include "diagnose/frames.h"
#include "diagnose/python_objects.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {
namespace {

constexpr std::size_t kWaiterFrames = 4;   // that may name the lock, innermost first
constexpr std::size_t kHolderFrames = 60;  // that may be inside a `with`
constexpr std::size_t kThreadsMax = 64;    // of which holders are looked for

using Word = std::uint64_t;

/// The first words of a Lock, an RLock or a SimpleQueue.
/// Source: CPython 3.10-3.13 Modules/_threadmodule.c lockobject, rlockobject
struct LockObject {
  Word references;
  Word type;
  Word lock;   ///< address of the semaphore, which is also the word that is slept on
  Word owner;  ///< of an RLock: pthread_t
};

template <class T>
std::optional<T> read_as(const Memory& memory, Word address) {
  T value{};
  if (!is_plausible(address) || !memory.read(address, &value, sizeof value)) return std::nullopt;
  return value;
}

bool sleeps_on_a_lock(const ThreadLook& thread) {
  return thread.tstate != 0 && !thread.waits_for_gil &&
         call_of(thread.syscall, thread.args[1]) == Call::Futex;
}

using FoundLock = std::optional<std::pair<Word, LockObject>>;

FoundLock lock_at(const PythonObjects& reader, Word address, Word slept_on) {
  const auto object = read_as<LockObject>(reader.memory(), address);
  if (!object || object->lock != slept_on || !is_plausible(object->type)) return std::nullopt;
  return std::pair{address, *object};
}

/// The lock among what a frame refers to whose word is the one slept on. While `with lock:` waits,
/// only the lock's bound __exit__ is on the frame's stack.
FoundLock lock_in(PythonObjects& reader, const RawFrame& frame, Word slept_on) {
  for (const Word candidate : reader.everything(frame)) {
    if (auto found = lock_at(reader, candidate, slept_on)) return found;
    const Word self = reader.self_of_builtin(candidate);
    if (self == 0) continue;
    if (auto found = lock_at(reader, self, slept_on)) return found;
  }
  return std::nullopt;
}

/// A queue made in C, which from 3.13 on sleeps on a word of the thread's own.
FoundLock queue_in(PythonObjects& reader, const RawFrame& frame) {
  for (const Word candidate : reader.everything(frame)) {
    const auto object = read_as<LockObject>(reader.memory(), candidate);
    if (object && is_plausible(object->type) &&
        reader.type_name(object->type) == "_queue.SimpleQueue")
      return std::pair{candidate, *object};
  }
  return std::nullopt;
}

std::optional<LockWait> wait_of(PythonObjects& reader, const ThreadLook& thread,
                                const std::map<Word, Word>& threads_by_ident) {
  const auto frames = reader.frames(thread.tstate, kWaiterFrames);
  FoundLock found;
  for (const RawFrame& frame : frames) {
    if ((found = lock_in(reader, frame, thread.args[0]))) break;
  }
  if (!found && !frames.empty()) found = queue_in(reader, frames.front());
  if (!found) return std::nullopt;
  LockWait wait;
  wait.waiter = thread.tstate;
  wait.object = found->first;
  wait.type = reader.type_name(found->second.type);
  const auto owner = threads_by_ident.find(found->second.owner);
  if (wait.type == "_thread.RLock" && owner != threads_by_ident.end()) wait.holder = owner->second;
  return wait;
}

/// Puts the thread down as holder of all locks whose `with` blocks it is in: the block keeps the
/// lock's bound __exit__ on the frame's stack.
void note_held(PythonObjects& reader, Word tstate, std::vector<LockWait>& waits) {
  for (const RawFrame& frame : reader.frames(tstate, kHolderFrames)) {
    for (const Word candidate : reader.live_stack(frame)) {
      const Word self = reader.self_of_builtin(candidate);
      for (LockWait& wait : waits) {
        if (self != 0 && wait.object == self && wait.holder == 0) wait.holder = tstate;
      }
    }
  }
}

bool is_function(const PythonFrame& frame, std::string_view file, std::string_view function) {
  return frame.file.ends_with(file) &&
         (frame.function == function || frame.function.ends_with("." + std::string(function)));
}

/// A variable of the frame of this function, by its place; 0 when the thread is not in it.
Word variable_of(const PythonObjects& reader, const ThreadLook& thread, std::string_view file,
                 std::string_view function, std::uint32_t index = 0) {
  const auto is_it = [&](const PythonFrame& frame) { return is_function(frame, file, function); };
  if (std::none_of(thread.stack.begin(), thread.stack.end(), is_it)) return 0;
  for (const RawFrame& raw : reader.frames(thread.tstate, kHolderFrames)) {
    const auto frame = describe_frame(reader.memory(), reader.layout(), raw);
    if (!frame || !is_it(*frame)) continue;
    const auto words = reader.slots(raw, index, 1);
    return words.empty() ? 0 : words[0];
  }
  return 0;
}

/// Whether an object refers to another one by its attributes.
bool refers_to(const PythonObjects& reader, Word object, Word wanted) {
  const auto values = reader.attributes_of(object);
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

constexpr std::string_view kThreading = "/threading.py";
constexpr std::string_view kPool = "/concurrent/futures/thread.py";
constexpr std::string_view kFutures = "/concurrent/futures/_base.py";
constexpr std::string_view kAsgiref = "/asgiref/current_thread_executor.py";
constexpr std::string_view kEventLoop = "/asyncio/base_events.py";
constexpr std::size_t kNobody = 0;  // the index of the thread that waits for all

using Threads = std::vector<ThreadLook>;

/// The thread whose end is waited for.
std::size_t joined(const PythonObjects& reader, const Threads& threads, const ThreadLook& waiter) {
  const Word thread = variable_of(reader, waiter, kThreading, "join");
  for (std::size_t i = 1; thread != 0 && i < threads.size(); ++i) {
    if (variable_of(reader, threads[i], kThreading, "_bootstrap") == thread) return i;
  }
  return kNobody;
}

/// The pool's thread that works on one of these futures.
std::size_t worked_on(const PythonObjects& reader, const Threads& threads,
                      const std::vector<Word>& futures) {
  for (std::size_t i = 1; !futures.empty() && i < threads.size(); ++i) {
    const Word item = variable_of(reader, threads[i], kPool, "run");
    if (item == 0) continue;
    const auto is_of_item = [&](Word future) {
      return future != 0 && refers_to(reader, item, future);
    };
    if (std::any_of(futures.begin(), futures.end(), is_of_item)) return i;
  }
  return kNobody;
}

/// The only busy thread of a pool that is no event loop's.
std::size_t only_worker(const PythonObjects& reader, const Threads& threads,
                        const ThreadLook& waiter) {
  std::size_t only = kNobody;
  for (std::size_t i = 1; i < threads.size(); ++i) {
    if (threads[i].tstate == waiter.tstate || variable_of(reader, threads[i], kPool, "run") == 0)
      continue;
    if (only != kNobody) return kNobody;
    only = i;
  }
  return only;
}

/// The thread whose event loop runs the task that one of these is. The task is what is waited for
/// then, not whatever else the loop runs.
std::size_t looping_for(PythonObjects& reader, const Threads& threads,
                        const std::vector<Word>& futures, ThreadLook& waiter) {
  for (const Word task : futures) {
    const Word loop = loop_of_task(reader, task);
    for (std::size_t i = 1; loop != 0 && i < threads.size(); ++i) {
      if (variable_of(reader, threads[i], kEventLoop, "run_forever") != loop) continue;
      waiter = threads[i];
      Stack awaiting = frames_of_task(reader, task, waiter.awaited);
      if (is_waiting_event_loop(waiter.stack)) waiter.stack = std::move(awaiting);
      return i;
    }
  }
  return kNobody;
}

/// The concurrent future that a thread waits for; 0: none.
Word future_of(const PythonObjects& reader, const ThreadLook& waiter) {
  const Word future = variable_of(reader, waiter, kFutures, "result");
  // Flask and Django run a coroutine in another thread's event loop with it.
  return future != 0 || sent_back_by_coroutine(waiter.stack) != 0
             ? future
             : variable_of(reader, waiter, kAsgiref, "run_until_future", 1);
}

/// The thread that does what this one waits to be done, and takes its place.
std::size_t done_by(PythonObjects& reader, const Threads& threads, ThreadLook& waiter) {
  const auto take = [&](std::size_t index) {
    if (index != kNobody) waiter = threads[index];
    return index;
  };
  if (const std::size_t thread = joined(reader, threads, waiter); thread != kNobody)
    return take(thread);
  if (is_waiting_event_loop(waiter.stack)) return take(only_worker(reader, threads, waiter));
  if (waiter.awaited != 0)
    return take(worked_on(reader, threads, chained_to(reader, waiter.awaited)));
  const Word future = future_of(reader, waiter);
  if (future == 0 && !waits_in(waiter.stack, "/concurrent/futures/", "")) return kNobody;
  if (const std::size_t worker = worked_on(reader, threads, {future}); worker != kNobody)
    return take(worker);
  const std::size_t loop = looping_for(reader, threads, chained_to(reader, future), waiter);
  return loop != kNobody ? loop : take(only_worker(reader, threads, waiter));
}

}  // namespace

std::uint32_t depth_from_exceptions(std::string_view table, std::int64_t offset) {
  std::size_t at = 0;
  const auto varint = [&table, &at] {
    std::uint32_t value = 0;
    bool more = true;
    while (more && at < table.size()) {
      const auto byte = static_cast<unsigned char>(table[at++]);
      value = value << 6 | (byte & 63);
      more = (byte & 64) != 0;
    }
    return value;
  };
  while (at < table.size()) {
    const std::uint32_t start = varint();
    const std::uint32_t size = varint();
    varint();  // where the handler is
    const std::uint32_t depth = varint() >> 1;
    if (offset >= start && offset < std::int64_t{start} + size) return depth;
  }
  return 0;
}

std::vector<LockWait> read_lock_waits(const Memory& memory, const TricornPythonLayout& layout,
                                      const std::vector<ThreadLook>& threads) {
  std::vector<LockWait> waits;
  if (layout.filled != 1) return waits;
  std::map<Word, Word> by_ident;
  const std::size_t count = std::min(threads.size(), kThreadsMax);
  for (std::size_t i = 0; i < count; ++i) {
    if (threads[i].tstate == 0) continue;
    if (const auto ident = read_word(memory, threads[i].tstate + layout.tstate_thread_id))
      by_ident.emplace(*ident, threads[i].tstate);
  }
  PythonObjects reader(memory, layout);
  for (std::size_t i = 0; i < count; ++i) {
    if (!sleeps_on_a_lock(threads[i])) continue;
    if (auto wait = wait_of(reader, threads[i], by_ident)) waits.push_back(std::move(*wait));
  }
  if (waits.empty()) return waits;
  for (std::size_t i = 0; i < count; ++i) {
    if (threads[i].tstate != 0) note_held(reader, threads[i].tstate, waits);
  }
  return waits;
}

std::string exception_handled(const Memory& memory, const TricornPythonLayout& layout,
                              std::uint64_t tstate) {
  constexpr int kNestedMax = 8;  // one of each generator that is being run
  if (layout.filled != 1 || tstate == 0) return "";
  PythonObjects reader(memory, layout);
  Word item = read_word(memory, tstate + layout.tstate_exceptions).value_or(0);
  for (int nested = 0; nested < kNestedMax && is_plausible(item); ++nested) {
    const Word value = read_word(memory, item + layout.exception_value).value_or(0);
    const std::string& type = reader.type_of(value);
    if (!type.empty() && type != "NoneType") return type;
    item = read_word(memory, item + layout.exception_previous).value_or(0);
  }
  return "";
}

std::optional<ThreadLook> read_delegate(const Memory& memory, const TricornPythonLayout& layout,
                                        const std::vector<ThreadLook>& threads,
                                        std::vector<PythonFrame>& asked) {
  constexpr int kLinksMax = 8;  // one may wait for another one, and so on
  if (layout.filled != 1 || threads.empty() || threads[0].tstate == 0) return std::nullopt;
  PythonObjects reader(memory, layout);
  ThreadLook last = threads[0];
  if (sent_back_by_coroutine(last.stack) != 0) {
    const Word future = variable_of(reader, last, kAsgiref, "run_until_future", 1);
    const std::size_t loop = worked_on(reader, threads, {future});
    if (loop != kNobody && has_application_code(threads[loop].stack)) asked = threads[loop].stack;
    return std::nullopt;
  }
  int links = 0;
  for (; links < kLinksMax; ++links) {
    Stack waiting = last.stack;
    if (done_by(reader, threads, last) == kNobody) break;
    if (has_application_code(waiting)) asked = std::move(waiting);
  }
  if (links == 0) return std::nullopt;
  return last;
}

}  // namespace tricorn::diagnose
