#include "diagnose/greenlets.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace tricorn::diagnose {
namespace {

using Word = std::uint64_t;

/// Words of a greenlet's two structures that are looked through.
/// Source: greenlet 2 and 3: PyGreenlet has 5 words, its C++ part some 25
constexpr std::size_t kObjectWords = 6;
constexpr std::size_t kPartWords = 40;
constexpr std::size_t kHeadWords = 2;  // reference count and type

template <std::size_t count>
std::vector<Word> words_at(const Memory& memory, Word address) {
  std::array<Word, count> words{};
  std::size_t bytes = sizeof words;
  while (bytes > 0 && (!is_plausible(address) || !memory.read(address, words.data(), bytes)))
    bytes /= 2;
  return {words.begin(), words.begin() + static_cast<std::ptrdiff_t>(bytes / sizeof(Word))};
}

bool is_hub(const PythonThread& thread) {
  if (thread.stack.empty()) return false;
  const PythonFrame& outermost = thread.stack.back();
  const std::string_view function = outermost.function;
  return outermost.file.ends_with("/gevent/hub.py") && (function == "Hub.run" || function == "run");
}

bool is_greenlet(const Memory& memory, const TricornPythonLayout& layout, Word object) {
  constexpr std::string_view kName = "greenlet.greenlet";
  std::array<char, kName.size() + 1> text{};
  const auto type =
      is_plausible(object) ? read_word(memory, object + layout.object_type) : std::nullopt;
  if (!type || !is_plausible(*type)) return false;
  const auto name = read_word(memory, *type + layout.type_name);
  if (!name || !memory.read(*name, text.data(), text.size())) return false;
  return std::string_view(text.data()) == kName;
}

/// Calls `use` with each word of what a greenlet's own fields point to, until it says true.
template <class Use>
void each_word_of(const Memory& memory, Word greenlet, Use use) {
  const auto object = words_at<kObjectWords>(memory, greenlet);
  for (std::size_t i = kHeadWords; i < object.size(); ++i) {
    for (const Word word : words_at<kPartWords>(memory, object[i])) {
      if (use(word)) return;
    }
  }
}

/// The greenlet a hub was started from; 0: not found.
Word main_greenlet(const Memory& memory, const TricornPythonLayout& layout, Word hub) {
  Word found = 0;
  each_word_of(memory, hub, [&](Word word) {
    if (word != hub && is_greenlet(memory, layout, word)) found = word;
    return found != 0;
  });
  return found;
}

}  // namespace

PythonThread read_request_thread(const Memory& memory, const TricornPythonLayout& layout,
                                 std::uint64_t tstate) {
  PythonThread thread = read_thread(memory, layout, tstate);
  if (!is_hub(thread)) return thread;
  const auto frames = read_frames(memory, layout, tstate, thread.stack.size());
  if (frames.size() != thread.stack.size()) return thread;
  const auto hub = read_word(memory, frames.back().address + layout.frame_localsplus);  // its self
  const Word waiting = hub ? main_greenlet(memory, layout, *hub) : 0;
  if (waiting == 0) return thread;
  each_word_of(memory, waiting, [&](Word word) {
    PythonThread request = read_stack(memory, layout, word);
    if (request.torn || request.stack.empty()) return false;
    thread.stack = std::move(request.stack);
    return true;
  });
  return thread;
}

}  // namespace tricorn::diagnose
