#include "diagnose/coroutines.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "diagnose/frames.h"

namespace tricorn::diagnose {
namespace {

using Word = PythonObjects::Word;

constexpr std::size_t kLoopFrames = 12;   // of an event loop, between its wait and its caller
constexpr std::size_t kAwaitsMax = 64;    // links of one chain
constexpr std::size_t kFutureWords = 24;  // of a task, up to its coroutine
constexpr Word kFirstField = 16;          // of an object, after its head
constexpr std::size_t kLoopField = 2;     // fut_loop, in words. Source: _asynciomodule.c

bool is_coroutine(std::string_view type) { return type == "coroutine"; }

/// Objects with the frame of a generator: all have the same first fields.
/// Source: CPython 3.10-3.13 genobject.h _PyGenObject_HEAD
bool has_frame(std::string_view type) {
  return is_coroutine(type) || type == "generator" || type == "async_generator";
}

/// The coroutine that a task steps; 0: it is none, or none made in C.
Word coroutine_of_task(PythonObjects& objects, Word task) {
  if (objects.type_of(task) != "_asyncio.Task") return 0;
  for (const Word word : objects.words_of(task, kFutureWords)) {
    if (is_coroutine(objects.type_of(word))) return word;
  }
  return 0;
}

/// The frame of a suspended coroutine; address 0: it is not suspended.
RawFrame frame_of(const PythonObjects& objects, Word coroutine) {
  const auto& layout = objects.layout();
  Word address = coroutine + layout.generator_frame;
  if (layout.generator_state == kNoField) {
    address = read_word(objects.memory(), address).value_or(0);
  } else {
    std::int8_t state = 0;
    if (!objects.memory().read(coroutine + layout.generator_state, &state, 1) || state >= 0)
      return {};
  }
  return read_frame(objects.memory(), layout, address).value_or(RawFrame{});
}

/// What a suspended frame awaits: the top of its stack.
Word top_of(const PythonObjects& objects, const RawFrame& frame) {
  constexpr std::int32_t kStackMax = 1024;
  const auto& layout = objects.layout();
  std::int32_t count = 0;
  if (!objects.memory().read(frame.address + layout.frame_stack_top, &count, sizeof count) ||
      count <= 0 || count > kStackMax)
    return 0;
  Word start = frame.address + layout.frame_localsplus;
  if (layout.frame_value_stack != kNoField)
    start = read_word(objects.memory(), frame.address + layout.frame_value_stack).value_or(0);
  const Word at = start + (static_cast<Word>(count) - 1) * sizeof(Word);
  return is_plausible(at) ? read_word(objects.memory(), at).value_or(0) : 0;
}

/// The only task among a frame's variables: `wait_for` awaits a future of its own that one sets
/// (3.10, 3.11).
Word only_task_in(PythonObjects& objects, const RawFrame& frame) {
  Word only = 0;
  for (const Word word : objects.slots(frame, 0, objects.variables(frame))) {
    if (word == only || coroutine_of_task(objects, word) == 0) continue;
    if (only != 0) return 0;
    only = word;
  }
  return only;
}

/// From what a frame awaits to the coroutine that is to end for it; 0: it is a future.
Word next_coroutine(PythonObjects& objects, Word awaited) {
  const std::string& type = objects.type_of(awaited);
  if (has_frame(type)) return awaited;
  // Those keep what they are of in their first field.
  if (type == "coroutine_wrapper" || type == "async_generator_asend")
    return read_word(objects.memory(), awaited + kFirstField).value_or(0);
  return coroutine_of_task(objects, awaited);
}

bool is_future(std::string_view type) {
  return type.find("Future") != std::string_view::npos ||
         type.find("Task") != std::string_view::npos;
}

/// Futures in the closures of a future's callbacks.
std::vector<Word> callbacks_refer_to(PythonObjects& objects, Word future) {
  std::vector<Word> found;
  const auto add = [&](Word callback) {
    for (const Word value : objects.closure_of(callback)) {
      if (is_future(objects.type_of(value))) found.push_back(value);
    }
  };
  const bool in_c = objects.type_of(future).starts_with("_asyncio.");
  const auto words = in_c ? objects.words_of(future, kFutureWords) : objects.attributes_of(future);
  for (const Word word : words) {
    const std::string& type = objects.type_of(word);
    if (in_c && type == "function") add(word);
    if (type != "list") continue;
    for (const Word item : objects.items_of_list(word)) add(item);
  }
  return found;
}

/// Futures and tasks among these words, and in the lists and sets among them.
std::vector<Word> futures_in(PythonObjects& objects, const std::vector<Word>& words) {
  std::vector<Word> found;
  const auto add = [&](Word word) {
    const bool wanted = objects.type_of(word).starts_with("_asyncio.");
    if (wanted && std::find(found.begin(), found.end(), word) == found.end()) found.push_back(word);
  };
  for (const Word word : words) {
    const std::string& type = objects.type_of(word);
    const auto items = type == "list"  ? objects.items_of_list(word)
                       : type == "set" ? objects.items_of_set(word)
                                       : std::vector<Word>{};
    std::for_each(items.begin(), items.end(), add);
  }
  return found;
}

/// What asyncio.gather() waits for: its future keeps them in a list, an attribute of its own. The
/// dictionary of those lies among its fields, or before them (3.13).
std::vector<Word> gathered(PythonObjects& objects, Word future) {
  constexpr std::size_t kWordsBefore = 3;  // Source: CPython 3.13 MANAGED_DICT_OFFSET
  if (objects.type_of(future) != "_GatheringFuture") return {};
  auto words = objects.words_of(future, kFutureWords);
  const auto before = objects.words_of(future - kWordsBefore * sizeof(Word), kWordsBefore);
  words.insert(words.end(), before.begin(), before.end());
  for (const Word word : words) {
    if (objects.type_of(word) == "dict") return futures_in(objects, objects.values_of_dict(word));
  }
  return {};
}

/// Whether a frame is of what waits for several tasks: asyncio.wait(), as_completed(), TaskGroup.
/// Source: CPython 3.10-3.13 Lib/asyncio/tasks.py, taskgroups.py
bool waits_for_several(const PythonFrame& frame) {
  static constexpr auto kFunctions =
      std::to_array<std::string_view>({"_wait", "_wait_for_one", "__aexit__", "_aexit"});
  const std::string_view name =
      std::string_view(frame.function)
          .substr(frame.function.rfind('.') + 1);  // npos + 1 is 0: all of it
  const bool file = frame.file.ends_with("/tasks.py") || frame.file.ends_with("/taskgroups.py");
  return file && is_asyncio(frame) &&
         std::find(kFunctions.begin(), kFunctions.end(), name) != kFunctions.end();
}

/// The tasks that such a frame waits for: in its variables, or in attributes of its `self`.
std::vector<Word> several_of(PythonObjects& objects, const RawFrame& frame) {
  auto words = objects.slots(frame, 0, objects.variables(frame));
  for (Word& word : words) {
    if (objects.type_of(word) == "cell")
      word = read_word(objects.memory(), word + kFirstField).value_or(0);
  }
  auto found = futures_in(objects, words);
  if (!found.empty() || words.empty()) return found;
  return futures_in(objects, objects.attributes_of(words[0]));
}

/// The tasks of asyncio.as_completed(), which up to 3.12 is a generator that only the frame which
/// awaits the next one of them has. Source: CPython 3.10-3.12 Lib/asyncio/tasks.py
std::vector<Word> completed_for(PythonObjects& objects, const RawFrame& awaiting) {
  for (const Word word : objects.everything(awaiting)) {
    if (objects.type_of(word) != "generator") continue;
    const RawFrame raw = frame_of(objects, word);
    const auto frame = describe_frame(objects.memory(), objects.layout(), raw);
    const bool found = frame && frame->function == "as_completed" && is_asyncio(*frame);
    if (found) return several_of(objects, raw);
  }
  return {};
}

std::vector<PythonFrame> follow(PythonObjects& objects, Word coroutine, Word& awaited,
                                int nested = 0);

/// Reads on in the tasks that are waited for together, when all that go on stand at the same place;
/// else nothing of theirs is added. @param frames  up to what waits for them
void follow_several(PythonObjects& objects, const std::vector<Word>& futures, int nested,
                    std::vector<PythonFrame>& frames, Word& awaited) {
  std::vector<PythonFrame> common;
  for (const Word future : futures) {
    Word end = 0;
    const Word coroutine = coroutine_of_task(objects, future);
    auto own =
        coroutine == 0 ? std::vector<PythonFrame>{} : follow(objects, coroutine, end, nested + 1);
    if (coroutine == 0 && !callbacks_refer_to(objects, future).empty()) end = future;
    if (end == 0) continue;  // it has ended
    if (coroutine == 0 && common.empty()) awaited = end;
    if (coroutine == 0) continue;
    if (!common.empty() && own != common) return;
    if (common.empty()) awaited = end;
    common = std::move(own);
  }
  frames.insert(frames.end(), common.begin(), common.end());
}

/// The coroutines from this one on, outermost first, as frames. @param awaited  the future at the
/// end of them
std::vector<PythonFrame> follow(PythonObjects& objects, Word coroutine, Word& awaited, int nested) {
  constexpr int kNestedMax = 3;
  std::vector<PythonFrame> frames;
  RawFrame awaiting;  // the one before
  while (coroutine != 0 && frames.size() < kAwaitsMax) {
    const RawFrame raw = frame_of(objects, coroutine);
    const auto frame = describe_frame(objects.memory(), objects.layout(), raw);
    if (!frame) break;
    frames.push_back(*frame);
    awaited = top_of(objects, raw);
    if (objects.type_of(awaited) == "_asyncio.FutureIter")
      awaited = read_word(objects.memory(), awaited + kFirstField).value_or(0);
    // How those are waited for, as by a queue of asyncio's own, says nothing.
    const bool of_several = waits_for_several(*frame);
    auto several = of_several ? several_of(objects, raw) : gathered(objects, awaited);
    if (of_several && several.empty() && awaiting.address != 0)
      several = completed_for(objects, awaiting);
    if (!several.empty() && nested < kNestedMax)
      follow_several(objects, several, nested, frames, awaited);
    if (of_several || !several.empty()) break;
    coroutine = next_coroutine(objects, awaited);
    if (coroutine == 0 && frame->function == "wait_for" && is_asyncio(*frame)) {
      const Word task = only_task_in(objects, raw);
      coroutine = coroutine_of_task(objects, task);
    }
    awaiting = raw;
  }
  return frames;
}

/// The task or coroutine that a frame of the event loop has among its variables.
Word coroutine_in(PythonObjects& objects, const RawFrame& frame) {
  for (const Word word : objects.slots(frame, 0, objects.variables(frame))) {
    const std::string& type = objects.type_of(word);
    if (is_coroutine(type)) return word;
    if (const Word coroutine = coroutine_of_task(objects, word); coroutine != 0) return coroutine;
  }
  return 0;
}

}  // namespace

void add_awaited(const Memory& memory, const TricornPythonLayout& layout, PythonThread& thread) {
  auto& stack = thread.stack;
  if (!is_waiting_event_loop(stack)) return;
  PythonObjects objects(memory, layout);
  const auto frames = objects.frames(thread.tstate, kLoopFrames);
  for (std::size_t i = 0; i < std::min(frames.size(), stack.size()); ++i) {
    if (i > 0 && !is_asyncio(stack[i])) return;
    const Word coroutine = is_asyncio(stack[i]) ? coroutine_in(objects, frames[i]) : 0;
    if (coroutine == 0) continue;
    auto awaiting = follow(objects, coroutine, thread.awaited);
    if (awaiting.empty()) continue;
    stack.erase(stack.begin(), stack.begin() + static_cast<std::ptrdiff_t>(i));
    stack.insert(stack.begin(), std::make_move_iterator(awaiting.rbegin()),
                 std::make_move_iterator(awaiting.rend()));
    return;
  }
}

std::vector<std::uint64_t> chained_to(PythonObjects& objects, std::uint64_t future) {
  auto found = callbacks_refer_to(objects, future);
  // asyncio.shield() puts one more future in between.
  for (const Word other : std::vector<Word>(found)) {
    if (other == future || objects.type_of(other) != "_asyncio.Future") continue;
    const auto further = callbacks_refer_to(objects, other);
    found.insert(found.end(), further.begin(), further.end());
  }
  return found;
}

std::uint64_t loop_of_task(PythonObjects& objects, std::uint64_t task) {
  if (objects.type_of(task) != "_asyncio.Task") return 0;
  const auto words = objects.words_of(task, kLoopField + 1);
  return words.size() > kLoopField ? words[kLoopField] : 0;
}

std::vector<PythonFrame> frames_of_task(PythonObjects& objects, std::uint64_t task,
                                        std::uint64_t& awaited) {
  auto frames = follow(objects, coroutine_of_task(objects, task), awaited);
  std::reverse(frames.begin(), frames.end());
  return frames;
}

}  // namespace tricorn::diagnose
