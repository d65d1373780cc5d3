#include "diagnose/python_objects.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "diagnose/python_waits.h"

namespace tricorn::diagnose {
namespace {

using Word = PythonObjects::Word;

constexpr std::size_t kSlotsMax = 128;     // variables and stack entries of one frame
constexpr std::uint32_t kSlotsOf310 = 48;  // where the code object does not say how many
constexpr std::size_t kTypeNameBytes = 48;
constexpr std::size_t kItemsMax = 16;    // of a list or a closure
constexpr std::size_t kEntriesMax = 64;  // of a set or a dictionary

std::uint32_t number_in(const Memory& memory, Word object, std::uint32_t offset) {
  std::uint32_t value = 0;
  if (offset == kNoField || !memory.read(object + offset, &value, sizeof value)) return 0;
  return value;
}

}  // namespace

std::vector<Word> PythonObjects::fetch_field(const std::vector<Word>& objects, std::size_t field) {
  std::vector<Word> fields;
  for (const Word object : objects) {
    if (is_plausible(object)) fields.push_back(object + field);
  }
  ahead_.fetch(fields, sizeof(Word));
  std::vector<Word> found;
  for (const Word at : fields) {
    const Word value = read_word(ahead_, at).value_or(0);
    if (std::find(found.begin(), found.end(), value) == found.end()) found.push_back(value);
  }
  return found;
}

// Most words are asked for their type next, and a call for each takes longer than one for all.
std::vector<Word> PythonObjects::words_at(Word address, std::size_t count) {
  std::vector<Word> words(count);
  if (!is_plausible(address)) return {};
  while (!words.empty() && !memory_.read(address, words.data(), words.size() * sizeof(Word)))
    words.resize(words.size() / 2);
  auto types = fetch_field(words, layout_.object_type);
  std::erase_if(types, [this](Word type) { return names_.contains(type); });
  ahead_.fetch(fetch_field(types, layout_.type_name), kTypeNameBytes);
  return words;
}

std::vector<Word> PythonObjects::slots(const RawFrame& frame, std::uint32_t from,
                                       std::uint32_t count) {
  const Word start = frame.address + layout_.frame_localsplus + Word{from} * sizeof(Word);
  return words_at(start, std::min<std::size_t>(count, kSlotsMax));
}

std::uint32_t PythonObjects::variables(const RawFrame& frame) const {
  return layout_.code_nlocalsplus == kNoField
             ? kSlotsOf310
             : number_in(memory_, frame.code, layout_.code_nlocalsplus);
}

std::vector<Word> PythonObjects::everything(const RawFrame& frame) {
  const std::uint32_t stack = number_in(memory_, frame.code, layout_.code_stacksize);
  return slots(frame, 0, variables(frame) + std::min<std::uint32_t>(stack, kSlotsMax));
}

std::vector<Word> PythonObjects::live_stack(const RawFrame& frame) {
  if (layout_.code_exceptiontable == kNoField) return {};
  const auto object = read_word(memory_, frame.code + layout_.code_exceptiontable);
  const auto table = object ? read_bytes(memory_, layout_, *object) : std::nullopt;
  if (!table) return {};
  const auto bytes =
      static_cast<std::int64_t>(frame.instruction - frame.code - layout_.code_instructions);
  return slots(frame, variables(frame), depth_from_exceptions(*table, bytes / 2));
}

const std::string& PythonObjects::type_name(Word type) {
  const auto known = names_.find(type);
  if (known != names_.end()) return known->second;
  const auto name = read_word(ahead_, type + layout_.type_name);
  std::array<char, kTypeNameBytes> text{};
  // The name may lie near the end of its page.
  std::size_t bytes = text.size();
  while (name && bytes > 0 && !ahead_.read(*name, text.data(), bytes)) bytes /= 2;
  return names_.emplace(type, std::string(text.data(), ::strnlen(text.data(), bytes)))
      .first->second;
}

const std::string& PythonObjects::type_of(Word object) {
  static const std::string kNothing;
  if (!is_plausible(object)) return kNothing;
  const auto type = read_word(ahead_, object + layout_.object_type);
  return type && is_plausible(*type) ? type_name(*type) : kNothing;
}

Word PythonObjects::self_of_builtin(Word object) {
  if (type_of(object) != "builtin_function_or_method") return 0;
  return read_word(memory_, object + layout_.bound_self).value_or(0);
}

std::vector<Word> PythonObjects::closure_of(Word function) {
  if (type_of(function) != "function") return {};
  const Word tuple = read_word(memory_, function + layout_.function_closure).value_or(0);
  if (type_of(tuple) != "tuple") return {};
  const Word count = read_word(memory_, tuple + layout_.bytes_size).value_or(0);
  std::vector<Word> values;
  // A cell is its object's head and the value. Source: CPython 3.10-3.13 cellobject.h
  for (const Word cell :
       words_at(tuple + layout_.tuple_items, std::min<std::size_t>(count, kItemsMax))) {
    if (type_of(cell) == "cell") values.push_back(read_word(memory_, cell + 16).value_or(0));
  }
  return values;
}

std::vector<Word> PythonObjects::items_of_list(Word list) {
  const Word count = read_word(memory_, list + layout_.bytes_size).value_or(0);
  const Word items = read_word(memory_, list + layout_.list_items).value_or(0);
  return words_at(items, std::min<std::size_t>(count, kItemsMax));
}

// Source: CPython 3.10-3.13 setobject.h: fill, used, mask, table of key and hash
std::vector<Word> PythonObjects::items_of_set(Word set) {
  constexpr std::size_t kMask = 4;
  constexpr std::size_t kTable = 5;
  const auto head = words_at(set, kTable + 1);
  if (head.size() <= kTable) return {};
  std::vector<Word> items;
  const auto table =
      words_at(head[kTable], (std::min<std::size_t>(head[kMask], kEntriesMax - 1) + 1) * 2);
  for (std::size_t i = 0; i < table.size(); i += 2) {
    if (is_plausible(table[i])) items.push_back(table[i]);
  }
  return items;
}

// Source: CPython 3.10-3.13 dictobject.h: used, version, keys, values. A dictionary that shares its
// keys with others has an array of values, another one has them among the keys.
std::vector<Word> PythonObjects::values_of_dict(Word dict) {
  constexpr std::size_t kKeys = 4;
  constexpr std::size_t kValues = 5;
  const auto head = words_at(dict, kValues + 1);
  if (head.size() <= kValues) return {};
  return words_at((head[kValues] != 0 ? head[kValues] : head[kKeys]) & ~Word{7}, kEntriesMax);
}

std::vector<Word> PythonObjects::words_of(Word object, std::size_t count) {
  return words_at(object, count);
}

std::vector<Word> PythonObjects::attributes_of(Word object) {
  constexpr Word kBefore = 32;
  constexpr std::size_t kNear = 16;
  constexpr std::size_t kFurther = 10;
  if (!is_plausible(object)) return {};
  std::vector<Word> values = words_at(object - kBefore, kNear);
  const std::vector<Word> near = values;
  for (const Word word : near) {
    const auto further = words_at(word & ~Word{7}, kFurther);
    values.insert(values.end(), further.begin(), further.end());
  }
  return values;
}

}  // namespace tricorn::diagnose
