#include "diagnose/python_waits.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "diagnose/frames.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;
constexpr std::size_t kWaiterFrames = 4;   // that may name the lock, innermost first
constexpr std::size_t kHolderFrames = 60;  // that may be inside a `with`
constexpr std::size_t kSlotsMax = 128;     // variables and stack entries of one frame
constexpr std::size_t kThreadsMax = 64;    // of which holders are looked for
constexpr std::uint32_t kSlotsOf310 = 48;  // where the code object does not say how many
constexpr std::size_t kTypeNameBytes = 48;

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

std::uint32_t number_in(const Memory& memory, Word object, std::uint32_t offset) {
  std::uint32_t value = 0;
  if (offset == kNone || !memory.read(object + offset, &value, sizeof value)) return 0;
  return value;
}

/// Reads the variables and stack entries of frames, and what they point to.
class Reader {
 public:
  Reader(const Memory& memory, const TricornPythonLayout& layout)
      : memory_(memory), layout_(layout) {}

  [[nodiscard]] std::vector<Word> slots(const RawFrame& frame, std::uint32_t from,
                                        std::uint32_t count) const {
    std::vector<Word> words(std::min<std::size_t>(count, kSlotsMax));
    const Word start = frame.address + layout_.frame_localsplus + Word{from} * sizeof(Word);
    while (!words.empty() && !memory_.read(start, words.data(), words.size() * sizeof(Word)))
      words.resize(words.size() / 2);
    return words;
  }

  [[nodiscard]] std::uint32_t variables(const RawFrame& frame) const {
    return layout_.code_nlocalsplus == kNone
               ? kSlotsOf310
               : number_in(memory_, frame.code, layout_.code_nlocalsplus);
  }

  /// All a frame refers to, entries of its stack that are out of use included.
  [[nodiscard]] std::vector<Word> everything(const RawFrame& frame) const {
    const std::uint32_t stack = number_in(memory_, frame.code, layout_.code_stacksize);
    return slots(frame, 0, variables(frame) + std::min<std::uint32_t>(stack, kSlotsMax));
  }

  /// Entries of its stack that are surely in use.
  [[nodiscard]] std::vector<Word> live_stack(const RawFrame& frame) const {
    if (layout_.code_exceptiontable == kNone) return {};
    const auto object = read_word(memory_, frame.code + layout_.code_exceptiontable);
    const auto table = object ? read_bytes(memory_, layout_, *object) : std::nullopt;
    if (!table) return {};
    const auto bytes =
        static_cast<std::int64_t>(frame.instruction - frame.code - layout_.code_instructions);
    return slots(frame, variables(frame), depth_from_exceptions(*table, bytes / 2));
  }

  [[nodiscard]] std::string type_name(Word type) {
    const auto known = names_.find(type);
    if (known != names_.end()) return known->second;
    const auto name = read_word(memory_, type + layout_.type_name);
    std::array<char, kTypeNameBytes> text{};
    // The name may lie near the end of its page.
    std::size_t bytes = text.size();
    while (name && bytes > 0 && !memory_.read(*name, text.data(), bytes)) bytes /= 2;
    std::string found(text.data(), ::strnlen(text.data(), bytes));
    names_.emplace(type, found);
    return found;
  }

  /// What a method of a type made in C is bound to; 0: the object is none.
  [[nodiscard]] Word self_of_builtin(Word object) {
    if (!is_plausible(object)) return 0;
    const auto type = read_word(memory_, object + layout_.object_type);
    if (!type || !is_plausible(*type) || type_name(*type) != "builtin_function_or_method") return 0;
    return read_word(memory_, object + layout_.bound_self).value_or(0);
  }

  [[nodiscard]] std::vector<RawFrame> frames(Word tstate, std::size_t most) const {
    return read_frames(memory_, layout_, tstate, most);
  }
  [[nodiscard]] const Memory& memory() const { return memory_; }

 private:
  const Memory& memory_;
  const TricornPythonLayout& layout_;
  std::map<Word, std::string> names_;
};

bool sleeps_on_a_lock(const ThreadLook& thread) {
  return thread.tstate != 0 && !thread.waits_for_gil &&
         call_of(thread.syscall, thread.args[1]) == Call::Futex;
}

using FoundLock = std::optional<std::pair<Word, LockObject>>;

FoundLock lock_at(const Reader& reader, Word address, Word slept_on) {
  const auto object = read_as<LockObject>(reader.memory(), address);
  if (!object || object->lock != slept_on || !is_plausible(object->type)) return std::nullopt;
  return std::pair{address, *object};
}

/// The lock among what a frame refers to whose word is the one slept on. While `with lock:` waits,
/// only the lock's bound __exit__ is on the frame's stack.
FoundLock lock_in(Reader& reader, const RawFrame& frame, Word slept_on) {
  for (const Word candidate : reader.everything(frame)) {
    if (auto found = lock_at(reader, candidate, slept_on)) return found;
    const Word self = reader.self_of_builtin(candidate);
    if (self == 0) continue;
    if (auto found = lock_at(reader, self, slept_on)) return found;
  }
  return std::nullopt;
}

/// A queue made in C, which from 3.13 on sleeps on a word of the thread's own.
FoundLock queue_in(Reader& reader, const RawFrame& frame) {
  for (const Word candidate : reader.everything(frame)) {
    const auto object = read_as<LockObject>(reader.memory(), candidate);
    if (object && is_plausible(object->type) &&
        reader.type_name(object->type) == "_queue.SimpleQueue")
      return std::pair{candidate, *object};
  }
  return std::nullopt;
}

std::optional<LockWait> wait_of(Reader& reader, const ThreadLook& thread,
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
void note_held(Reader& reader, Word tstate, std::vector<LockWait>& waits) {
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

/// First variable, `self`, of the frame of this function; 0 when the thread is not in it.
Word self_of(const Reader& reader, const ThreadLook& thread, std::string_view file,
             std::string_view function) {
  const auto& stack = thread.stack;
  const auto found = std::find_if(stack.begin(), stack.end(), [&](const PythonFrame& frame) {
    return is_function(frame, file, function);
  });
  if (found == stack.end()) return 0;
  const auto depth = static_cast<std::size_t>(found - stack.begin());
  const auto frames = reader.frames(thread.tstate, depth + 1);
  if (frames.size() <= depth) return 0;
  const auto words = reader.slots(frames[depth], 0, 1);
  return words.empty() ? 0 : words[0];
}

/// Whether an object refers to another one directly or by the array that holds its attributes,
/// which lies in front of it (3.11, 3.12), or behind it (3.13).
bool refers_to(const Memory& memory, Word object, Word wanted) {
  constexpr Word kBefore = 32;
  std::array<Word, 12> near{};
  if (!is_plausible(object) || !memory.read(object - kBefore, near.data(), sizeof near))
    return false;
  return std::any_of(near.begin(), near.end(), [&](Word word) {
    if (word == wanted) return true;
    std::array<Word, 6> further{};
    const Word untagged = word & ~Word{7};
    return is_plausible(untagged) && memory.read(untagged, further.data(), sizeof further) &&
           std::find(further.begin(), further.end(), wanted) != further.end();
  });
}

constexpr std::string_view kThreading = "/threading.py";
constexpr std::string_view kPool = "/concurrent/futures/thread.py";
constexpr std::string_view kFutures = "/concurrent/futures/_base.py";

std::size_t joined(const Reader& reader, const std::vector<ThreadLook>& threads) {
  const Word thread = self_of(reader, threads[0], kThreading, "join");
  for (std::size_t i = 1; thread != 0 && i < threads.size(); ++i) {
    if (self_of(reader, threads[i], kThreading, "_bootstrap") == thread) return i;
  }
  return 0;
}

/// The pool's thread that works on the future; the only busy one when that cannot be read.
std::size_t worked_on(const Reader& reader, const std::vector<ThreadLook>& threads) {
  const Word future = self_of(reader, threads[0], kFutures, "result");
  std::size_t only = 0;
  std::size_t busy = 0;
  for (std::size_t i = 1; i < threads.size(); ++i) {
    const Word item = self_of(reader, threads[i], kPool, "run");
    if (item == 0) continue;
    if (future != 0 && refers_to(reader.memory(), item, future)) return i;
    only = i;
    ++busy;
  }
  return busy == 1 ? only : 0;
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
  Reader reader(memory, layout);
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

std::size_t read_delegate(const Memory& memory, const TricornPythonLayout& layout,
                          const std::vector<ThreadLook>& threads) {
  if (layout.filled != 1 || threads.empty() || threads[0].tstate == 0) return 0;
  const Reader reader(memory, layout);
  const std::size_t thread = joined(reader, threads);
  if (thread != 0) return thread;
  const bool waits = waits_in(threads[0].stack, "/concurrent/futures/", "") ||
                     waits_in(threads[0].stack, "/asyncio/", "run_until_complete");
  return waits ? worked_on(reader, threads) : 0;
}

}  // namespace tricorn::diagnose
