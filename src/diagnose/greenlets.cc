#include "diagnose/greenlets.h"

#include <string_view>
#include <utility>

#include "diagnose/python_objects.h"

namespace tricorn::diagnose {
namespace {

using Word = PythonObjects::Word;

/// Words of a greenlet's two structures that are looked through.
/// Source: greenlet 2 and 3: PyGreenlet has 5 words, its C++ part some 25
constexpr std::size_t kObjectWords = 6;
constexpr std::size_t kPartWords = 40;
constexpr std::size_t kHeadWords = 2;  // reference count and type

bool is_hub(const PythonThread& thread) {
  if (thread.stack.empty()) return false;
  const PythonFrame& outermost = thread.stack.back();
  const std::string_view function = outermost.function;
  return outermost.file.ends_with("/gevent/hub.py") && (function == "Hub.run" || function == "run");
}

/// Calls `use` with each word of what a greenlet's own fields point to, until it says true.
template <class Use>
void each_word_of(PythonObjects& objects, Word greenlet, Use use) {
  const auto object = objects.words_of(greenlet, kObjectWords);
  for (std::size_t i = kHeadWords; i < object.size(); ++i) {
    for (const Word word : objects.words_of(object[i], kPartWords)) {
      if (use(word)) return;
    }
  }
}

/// The greenlet a hub was started from; 0: not found.
Word main_greenlet(PythonObjects& objects, Word hub) {
  Word found = 0;
  each_word_of(objects, hub, [&](Word word) {
    if (word != hub && objects.type_of(word) == "greenlet.greenlet") found = word;
    return found != 0;
  });
  return found;
}

}  // namespace

PythonThread read_request_thread(const Memory& memory, const TricornPythonLayout& layout,
                                 std::uint64_t tstate) {
  PythonThread thread = read_thread(memory, layout, tstate);
  if (!is_hub(thread)) return thread;
  PythonObjects objects(memory, layout);
  const auto frames = objects.frames(tstate, thread.stack.size());
  if (frames.size() != thread.stack.size()) return thread;
  const auto hub = read_word(memory, frames.back().address + layout.frame_localsplus);  // its self
  const Word waiting = hub ? main_greenlet(objects, *hub) : 0;
  if (waiting == 0) return thread;
  each_word_of(objects, waiting, [&](Word word) {
    PythonThread request = read_stack(memory, layout, word);
    if (request.torn || request.stack.empty()) return false;
    thread.stack = std::move(request.stack);
    return true;
  });
  return thread;
}

}  // namespace tricorn::diagnose
