#include "diagnose/delegates.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "diagnose/coroutines.h"
#include "diagnose/frames.h"
#include "diagnose/python_objects.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {
namespace {

constexpr std::size_t kFramesMax = 60;  // of one thread, in which a function is looked for

using Word = std::uint64_t;

bool is_function(const PythonFrame& frame, std::string_view file, std::string_view function) {
  return frame.file.ends_with(file) &&
         (frame.function == function || frame.function.ends_with("." + std::string(function)));
}

/// The innermost frame of this function; address 0: the thread is not in it.
RawFrame frame_in(PythonObjects& reader, const ThreadLook& thread, std::string_view file,
                  std::string_view function) {
  const auto is_it = [&](const PythonFrame& frame) { return is_function(frame, file, function); };
  if (std::none_of(thread.stack.begin(), thread.stack.end(), is_it)) return {};
  for (const RawFrame& raw : reader.frames(thread.tstate, kFramesMax)) {
    const auto frame = describe_frame(reader.memory(), reader.layout(), raw);
    if (frame && is_it(*frame)) return raw;
  }
  return {};
}

/// A variable of the frame of this function, by its place; 0 when the thread is not in it.
Word variable_of(PythonObjects& reader, const ThreadLook& thread, std::string_view file,
                 std::string_view function, std::uint32_t index = 0) {
  const RawFrame frame = frame_in(reader, thread, file, function);
  if (frame.address == 0) return 0;
  const auto words = reader.slots(frame, index, 1);
  return words.empty() ? 0 : words[0];
}

/// Whether an object refers to another one by its attributes.
bool refers_to(PythonObjects& reader, Word object, Word wanted) {
  const auto values = reader.attributes_of(object);
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

constexpr std::string_view kThreading = "/threading.py";
constexpr std::string_view kPool = "/concurrent/futures/thread.py";
constexpr std::string_view kJobPool = "/multiprocessing/pool.py";
constexpr std::string_view kFutures = "/concurrent/futures/_base.py";
constexpr std::string_view kAsgiref = "/asgiref/current_thread_executor.py";
constexpr std::string_view kEventLoop = "/asyncio/base_events.py";
constexpr std::size_t kNobody = 0;  // the index of the thread that waits for all

using Threads = std::vector<ThreadLook>;

/// The thread whose end is waited for.
std::size_t joined(PythonObjects& reader, const Threads& threads, const ThreadLook& waiter) {
  const Word thread = variable_of(reader, waiter, kThreading, "join");
  for (std::size_t i = 1; thread != 0 && i < threads.size(); ++i) {
    if (variable_of(reader, threads[i], kThreading, "_bootstrap") == thread) return i;
  }
  return kNobody;
}

/// The pool's thread that works on one of these futures.
std::size_t worked_on(PythonObjects& reader, const Threads& threads,
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

/// Whom a wait for several futures has these tell when they are done.
std::vector<Word> waiters_of(PythonObjects& reader, const ThreadLook& waiter) {
  for (const std::string_view function : {"wait", "as_completed"}) {
    const RawFrame frame = frame_in(reader, waiter, kFutures, function);
    if (frame.address == 0) continue;
    auto words = reader.slots(frame, 0, reader.variables(frame));
    std::erase_if(words, [&](Word word) { return !reader.type_of(word).ends_with("Waiter"); });
    return words;
  }
  return {};
}

/// Whether a future tells one of these when it is done.
bool tells(PythonObjects& reader, Word future, const std::vector<Word>& waiters) {
  for (const Word list : reader.attributes_of(future)) {
    if (reader.type_of(list) != "list") continue;
    const auto items = reader.items_of_list(list);
    const bool found = std::find_first_of(items.begin(), items.end(), waiters.begin(),
                                          waiters.end()) != items.end();
    if (found) return true;
  }
  return false;
}

/// The first thread of a pool whose future is one of several that are waited for.
std::size_t works_on_one(PythonObjects& reader, const Threads& threads, const ThreadLook& waiter) {
  const auto waiters = waiters_of(reader, waiter);
  for (std::size_t i = 1; !waiters.empty() && i < threads.size(); ++i) {
    const Word item = variable_of(reader, threads[i], kPool, "run");
    const auto words = item == 0 ? std::vector<Word>{} : reader.attributes_of(item);
    for (const Word future : std::set<Word>(words.begin(), words.end())) {
      if (reader.type_of(future) == "Future" && tells(reader, future, waiters)) return i;
    }
  }
  return kNobody;
}

/// The thread of a multiprocessing.pool.ThreadPool that does what a result of the pool is of.
/// Source: CPython 3.10-3.13 Lib/multiprocessing/pool.py worker, ApplyResult, IMapIterator
std::size_t works_on_job(PythonObjects& reader, const Threads& threads, const ThreadLook& waiter) {
  constexpr std::uint32_t kJobOfWorker = 10;
  constexpr std::size_t kJobAfterPool = 2;  // among the result's attributes
  Word result = variable_of(reader, waiter, kJobPool, "wait");
  if (result == 0) result = variable_of(reader, waiter, kJobPool, "next");
  const Word pool = variable_of(reader, waiter, kJobPool, "join");
  if (result == 0 && pool == 0) return kNobody;
  const auto values = result == 0 ? std::vector<Word>{} : reader.attributes_of(result);
  for (std::size_t i = 1; i < threads.size(); ++i) {
    const Word jobs = variable_of(reader, threads[i], kJobPool, "worker");
    const Word job = variable_of(reader, threads[i], kJobPool, "worker", kJobOfWorker);
    if (jobs == 0 || reader.type_of(job) != "int") continue;  // None: it has nothing to do
    if (pool != 0 && refers_to(reader, pool, jobs)) return i;
    for (std::size_t at = 0; at + kJobAfterPool < values.size(); ++at) {
      if (values[at + kJobAfterPool] == job && refers_to(reader, values[at], jobs)) return i;
    }
  }
  return kNobody;
}

/// Whether a thread waits for somebody outside the worker, as far as its call tells.
bool waits_for_peer(const ThreadLook& thread) {
  const Call call = call_of(thread.syscall, thread.args[1]);
  return call == Call::Connect || is_of_data(call);
}

/// A package's own thread that waits for a peer, when the package waits for an event of its own.
std::size_t of_same_package(const Threads& threads, const ThreadLook& waiter,
                            std::string& package) {
  const bool waits = call_of(waiter.syscall, waiter.args[1]) == Call::Futex;
  const std::string_view name = package_that_waits(waiter.stack);
  if (!waits || name.empty() || !pool_in(waiter.stack).empty()) return kNobody;
  for (std::size_t i = 1; i < threads.size(); ++i) {
    if (threads[i].tstate == waiter.tstate || !waits_for_peer(threads[i])) continue;
    if (package_of_thread(threads[i].stack) != name) continue;
    package = name;
    return i;
  }
  return kNobody;
}

/// The only busy thread of a pool that is no event loop's.
std::size_t only_worker(PythonObjects& reader, const Threads& threads, const ThreadLook& waiter) {
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
Word future_of(PythonObjects& reader, const ThreadLook& waiter) {
  const Word future = variable_of(reader, waiter, kFutures, "result");
  // Flask and Django run a coroutine in another thread's event loop with it.
  return future != 0 || sent_back_by_coroutine(waiter.stack) != 0
             ? future
             : variable_of(reader, waiter, kAsgiref, "run_until_future", 1);
}

/// The thread that works on one of several futures that a thread waits for.
std::size_t one_of_several(PythonObjects& reader, const Threads& threads, ThreadLook& waiter) {
  if (!waits_in(waiter.stack, kFutures, "")) return kNobody;
  const std::size_t worker = works_on_one(reader, threads, waiter);
  return worker != kNobody ? worker : only_worker(reader, threads, waiter);
}

/// The thread that does what this one waits to be done, and takes its place.
std::size_t done_by(PythonObjects& reader, const Threads& threads, ThreadLook& waiter) {
  const auto take = [&](std::size_t index) {
    if (index != kNobody) waiter = threads[index];
    return index;
  };
  if (const std::size_t worker = works_on_job(reader, threads, waiter); worker != kNobody)
    return take(worker);
  if (const std::size_t thread = joined(reader, threads, waiter); thread != kNobody)
    return take(thread);
  if (is_waiting_event_loop(waiter.stack)) return take(only_worker(reader, threads, waiter));
  if (waiter.awaited != 0)
    return take(worked_on(reader, threads, chained_to(reader, waiter.awaited)));
  const Word future = future_of(reader, waiter);
  if (future == 0) return take(one_of_several(reader, threads, waiter));
  if (const std::size_t worker = worked_on(reader, threads, {future}); worker != kNobody)
    return take(worker);
  const std::size_t loop = looping_for(reader, threads, chained_to(reader, future), waiter);
  return loop != kNobody ? loop : take(only_worker(reader, threads, waiter));
}

}  // namespace

std::optional<Doer> read_delegate(const Memory& memory, const TricornPythonLayout& layout,
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
  std::string package;
  const std::size_t own = of_same_package(threads, last, package);
  if (own != kNobody) {
    if (has_application_code(last.stack)) asked = last.stack;
    return Doer{threads[own], std::move(package)};
  }
  if (links == 0) return std::nullopt;
  return Doer{std::move(last), {}};
}

}  // namespace tricorn::diagnose
