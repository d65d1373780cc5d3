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

FoundLock lock_at(PythonObjects& reader, Word address, Word slept_on) {
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

}  // namespace tricorn::diagnose
