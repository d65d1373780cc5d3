// What the frames and objects of another process refer to: variables, entries of a frame's stack,
// names of types. Every pointer is taken as possibly wrong, as in python_stack.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// "This CPython has no such field."
inline constexpr std::uint32_t kNoField = UINT32_MAX;

/// Reads what frames and objects refer to. Addresses are the other process's.
class PythonObjects {
 public:
  using Word = std::uint64_t;

  /// Both must outlive this.
  PythonObjects(const Memory& memory, const TricornPythonLayout& layout)
      : memory_(memory), layout_(layout), ahead_(memory) {}

  /// Words of a frame's variables and stack, as many as can be read.
  [[nodiscard]] std::vector<Word> slots(const RawFrame& frame, std::uint32_t from,
                                        std::uint32_t count);
  /// How many variables a frame has.
  [[nodiscard]] std::uint32_t variables(const RawFrame& frame) const;
  /// All a frame refers to, entries of its stack that are out of use included.
  [[nodiscard]] std::vector<Word> everything(const RawFrame& frame);
  /// Entries of its stack that are surely in use.
  [[nodiscard]] std::vector<Word> live_stack(const RawFrame& frame);
  [[nodiscard]] std::vector<RawFrame> frames(Word tstate, std::size_t most) const {
    return read_frames(memory_, layout_, tstate, most);
  }

  /// tp_name of a type.
  [[nodiscard]] const std::string& type_name(Word type);
  /// Name of an object's type; empty: it is no object.
  [[nodiscard]] const std::string& type_of(Word object);
  /// What a method of a type made in C is bound to; 0: the object is none.
  [[nodiscard]] Word self_of_builtin(Word object);
  /// Values of a function's closure.
  [[nodiscard]] std::vector<Word> closure_of(Word function);
  /// Objects in a list, at most 16.
  [[nodiscard]] std::vector<Word> items_of_list(Word list);
  /// Objects in a set, at most 64.
  [[nodiscard]] std::vector<Word> items_of_set(Word set);
  /// Words of where a dictionary keeps its values, at most 64. Other words are among them.
  [[nodiscard]] std::vector<Word> values_of_dict(Word dict);
  /// The first words of an object.
  [[nodiscard]] std::vector<Word> words_of(Word object, std::size_t count);
  /// The values of an object's attributes as far as they lie in an array: that may be in front of
  /// it (3.11, 3.12) or behind its head (3.13). Other words are among them.
  [[nodiscard]] std::vector<Word> attributes_of(Word object);

  [[nodiscard]] const Memory& memory() const { return memory_; }
  [[nodiscard]] const TricornPythonLayout& layout() const { return layout_; }

 private:
  /// Words in a row, as many as can be read; of those that may be objects the types are read ahead.
  [[nodiscard]] std::vector<Word> words_at(Word address, std::size_t count);
  /// Reads the same field of each of these ahead. @return the values, each once
  [[nodiscard]] std::vector<Word> fetch_field(const std::vector<Word>& objects, std::size_t field);

  const Memory& memory_;
  const TricornPythonLayout& layout_;
  ReadAhead ahead_;  ///< objects' types, and the names of those
  std::map<Word, std::string> names_;
};

}  // namespace tricorn::diagnose
