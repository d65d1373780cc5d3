#include "diagnose/python_stack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

namespace tricorn::diagnose {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;    // "this CPython has no such field"
constexpr std::size_t kTextMax = 1024;         // characters of a file or function name
constexpr std::size_t kTableMax = 256 * 1024;  // bytes of a line table
/// Source: CPython 3.11-3.13 pycore_frame.h FRAME_OWNED_BY_GENERATOR
constexpr std::uint8_t kOwnedByGenerator = 1;
constexpr std::int64_t kCodeUnitBytes = 2;  // Source: CPython, _Py_CODEUNIT

/// A structure of the other process, copied as far as its known fields reach.
class Copy {
 public:
  bool take(const Memory& memory, std::uint64_t address,
            std::initializer_list<std::uint32_t> fields) {
    std::size_t end = 0;
    for (const std::uint32_t field : fields) {
      if (field != kNone) end = std::max<std::size_t>(end, field + sizeof(std::uint64_t));
    }
    bytes_ = end;
    return end <= buffer_.size() && memory.read(address, buffer_.data(), end);
  }
  template <class T>
  [[nodiscard]] T at(std::uint32_t offset) const {
    T value{};
    if (offset + sizeof value <= bytes_) std::memcpy(&value, buffer_.data() + offset, sizeof value);
    return value;
  }

 private:
  std::array<char, 512> buffer_;
  std::size_t bytes_ = 0;
};

template <class T>
std::optional<T> word(const Memory& memory, std::uint64_t address) {
  T value{};
  if (!memory.read(address, &value, sizeof value)) return std::nullopt;
  return value;
}

void append_utf8(std::string& text, std::uint32_t point) {
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else if (point < 0x110000) {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

std::string utf8_from(std::string_view raw, std::size_t kind) {
  std::string text;
  for (std::size_t at = 0; at + kind <= raw.size(); at += kind) {
    std::uint32_t point = 0;
    std::memcpy(&point, raw.data() + at, kind);  // little-endian, as every machine we run on
    append_utf8(text, point);
  }
  return text;
}

/// Where a str keeps its characters, by the bits of its state word.
/// Source: CPython 3.10-3.13 unicodeobject.h: interned 2, kind 3, compact 1, ascii 1.
struct TextShape {
  std::size_t kind;
  std::size_t data_at;
};

std::optional<TextShape> shape_of(std::uint32_t state, const TricornPythonLayout& layout) {
  const std::size_t kind = state >> 2 & 7;
  const bool compact = (state >> 5 & 1) != 0;
  const bool ascii = (state >> 6 & 1) != 0;
  if (!compact || (kind != 1 && kind != 2 && kind != 4)) return std::nullopt;
  return TextShape{kind, ascii ? layout.unicode_ascii_data : layout.unicode_compact_data};
}

/// The start of an object whose length is only known from its head. Reads what most objects need at
/// once: each call costs some 3 us. The exact head alone where that reaches past the end of memory.
class Start {
 public:
  [[nodiscard]] bool take(const Memory& memory, std::uint64_t address, std::size_t head) {
    address_ = address;
    have_ = buffer_.size();
    if (memory.read(address, buffer_.data(), have_)) return true;
    have_ = head;
    return head <= buffer_.size() && memory.read(address, buffer_.data(), head);
  }
  template <class T>
  [[nodiscard]] T at(std::size_t offset) const {
    T value{};
    if (offset + sizeof value <= have_) std::memcpy(&value, buffer_.data() + offset, sizeof value);
    return value;
  }
  /// `bytes` of the object from `offset` on; reads again when they are not here.
  [[nodiscard]] std::optional<std::string> bytes(const Memory& memory, std::size_t offset,
                                                 std::size_t count) const {
    if (offset + count <= have_) return std::string(buffer_.data() + offset, count);
    std::string text(count, '\0');
    if (!memory.read(address_ + offset, text.data(), count)) return std::nullopt;
    return text;
  }

 private:
  std::array<char, 256> buffer_;
  std::uint64_t address_ = 0;
  std::size_t have_ = 0;
};

std::optional<std::string> read_text(const Memory& memory, const TricornPythonLayout& layout,
                                     std::uint64_t address) {
  Start object;
  if (!is_plausible(address) || !object.take(memory, address, layout.unicode_ascii_data))
    return std::nullopt;
  const auto length = object.at<std::int64_t>(layout.unicode_length);
  const auto shape = shape_of(object.at<std::uint32_t>(layout.unicode_state), layout);
  if (length < 0 || !shape) return std::nullopt;
  const std::size_t kept = std::min<std::size_t>(static_cast<std::size_t>(length), kTextMax);
  const auto raw = object.bytes(memory, shape->data_at, kept * shape->kind);
  if (!raw) return std::nullopt;
  return utf8_from(*raw, shape->kind);
}

/// Where the frame's bytecode lies; 0: not readable.
std::uint64_t opcode_address(const Memory& memory, const TricornPythonLayout& layout,
                             const RawFrame& frame) {
  if (layout.code_bytes == kNone) return frame.instruction;
  const auto unit = static_cast<std::int32_t>(frame.instruction);  // f_lasti, -1 before the first
  const auto bytes = word<std::uint64_t>(memory, frame.code + layout.code_bytes);
  if (!bytes || !is_plausible(*bytes) || unit < 0) return 0;
  return *bytes + layout.bytes_data + static_cast<std::uint64_t>(unit * kCodeUnitBytes);
}

bool is_at_jump(const Memory& memory, const TricornPythonLayout& layout, const RawFrame& frame) {
  const std::uint64_t address = opcode_address(memory, layout, frame);
  const auto opcode = address == 0 ? std::nullopt : word<std::uint8_t>(memory, address);
  if (!opcode || *opcode == 0) return false;  // 0 ends the list
  const auto& jumps = layout.jump_opcodes;
  return std::find(std::begin(jumps), std::end(jumps), *opcode) != std::end(jumps);
}

/// The function's name, with its class where this CPython has that.
std::uint32_t name_field(const TricornPythonLayout& layout) {
  return layout.code_qualname != kNone ? layout.code_qualname : layout.code_name;
}

int line_of(const TricornPythonLayout& layout, const RawFrame& frame, std::string_view table,
            int first_line) {
  int line = 0;
  if (layout.code_instructions == kNone) {
    const auto unit = static_cast<std::int32_t>(frame.instruction);  // f_lasti, -1 before the first
    line = line_from_lines(table, first_line, unit * kCodeUnitBytes);
  } else {
    const auto bytes =
        static_cast<std::int64_t>(frame.instruction - frame.code - layout.code_instructions);
    line = line_from_locations(table, first_line, bytes / kCodeUnitBytes);
  }
  return line > 0 ? line
                  : first_line;  // a prologue instruction has none: the def line is the nearest
}

/// Address of the innermost frame; 0 no Python code runs; nothing: unreadable.
std::optional<std::uint64_t> innermost(const Memory& memory, const TricornPythonLayout& layout,
                                       std::uint64_t tstate) {
  if (!is_plausible(tstate)) return std::nullopt;
  const auto first = word<std::uint64_t>(memory, tstate + layout.tstate_frame);
  if (!first || *first == 0 || layout.cframe_current_frame == kNone) return first;
  return word<std::uint64_t>(memory, *first + layout.cframe_current_frame);
}

/// Reads 6-bit groups, lowest first; bit 6 says that more follow. Source: CPython
/// Objects/locations.md
class LocationReader {
 public:
  explicit LocationReader(std::string_view table) : table_(table) {}
  [[nodiscard]] bool done() const { return at_ >= table_.size(); }
  unsigned byte() { return done() ? 0 : static_cast<unsigned char>(table_[at_++]); }
  unsigned varint() {
    unsigned value = 0;
    for (unsigned shift = 0; shift < 30; shift += 6) {
      const unsigned part = byte();
      value |= (part & 63) << shift;
      if ((part & 64) == 0) break;
    }
    return value;
  }
  int signed_varint() {
    const unsigned value = varint();
    const int magnitude = static_cast<int>(value >> 1);
    return (value & 1) != 0 ? -magnitude : magnitude;
  }
  void skip(unsigned count) { at_ += count; }

 private:
  std::string_view table_;
  std::size_t at_ = 0;
};

/// Reads the rest of one entry. @return false: the entry has no line
bool advance_line(LocationReader& reader, unsigned kind, int& line) {
  constexpr unsigned kOneLine = 10, kNoColumns = 13, kLong = 14, kNoLocation = 15;
  if (kind == kNoLocation) return false;
  if (kind < kOneLine) {
    reader.skip(1);
  } else if (kind < kNoColumns) {
    line += static_cast<int>(kind - kOneLine);
    reader.skip(2);
  } else {
    line += reader.signed_varint();
    if (kind == kLong) {
      for (int field = 0; field < 3; ++field) reader.varint();
    }
  }
  return true;
}

}  // namespace

// 8-aligned and in the lower half. Source: x86-64 and aarch64 Linux user space.
bool is_plausible(std::uint64_t address) {
  return address > 4096 && address % 8 == 0 && address < (std::uint64_t{1} << 56);
}

std::optional<std::uint64_t> read_word(const Memory& memory, std::uint64_t address) {
  return word<std::uint64_t>(memory, address);
}

std::optional<std::string> read_bytes(const Memory& memory, const TricornPythonLayout& layout,
                                      std::uint64_t address) {
  Start object;
  if (!is_plausible(address) || !object.take(memory, address, layout.bytes_data))
    return std::nullopt;
  const auto size = object.at<std::int64_t>(layout.bytes_size);
  if (size < 0) return std::nullopt;
  return object.bytes(memory, layout.bytes_data,
                      std::min<std::size_t>(static_cast<std::size_t>(size), kTableMax));
}

std::optional<RawFrame> read_frame(const Memory& memory, const TricornPythonLayout& layout,
                                   std::uint64_t address) {
  Copy copy;
  if (!is_plausible(address) || !copy.take(memory, address,
                                           {layout.frame_code, layout.frame_previous,
                                            layout.frame_instruction, layout.frame_owner})) {
    return std::nullopt;
  }
  RawFrame frame;
  frame.address = address;
  frame.code = copy.at<std::uint64_t>(layout.frame_code);
  frame.previous = copy.at<std::uint64_t>(layout.frame_previous);
  frame.instruction = layout.code_instructions == kNone
                          ? copy.at<std::uint32_t>(layout.frame_instruction)
                          : copy.at<std::uint64_t>(layout.frame_instruction);
  const auto owner = copy.at<std::uint8_t>(layout.frame_owner);
  frame.skip = layout.owner_cstack != kNone && owner == layout.owner_cstack;
  frame.of_generator = layout.frame_owner != kNone && owner == kOwnedByGenerator;
  return frame;
}

std::optional<PythonFrame> describe_frame(const Memory& memory, const TricornPythonLayout& layout,
                                          const RawFrame& frame) {
  Copy code;
  if (!is_plausible(frame.code) ||
      !code.take(memory, frame.code,
                 {layout.object_type, layout.code_filename, layout.code_name, layout.code_qualname,
                  layout.code_firstlineno, layout.code_linetable}) ||
      code.at<std::uint64_t>(layout.object_type) != layout.code_type) {
    return std::nullopt;
  }
  auto file = read_text(memory, layout, code.at<std::uint64_t>(layout.code_filename));
  auto name = read_text(memory, layout, code.at<std::uint64_t>(name_field(layout)));
  const auto table = read_bytes(memory, layout, code.at<std::uint64_t>(layout.code_linetable));
  if (!file || !name || !table) return std::nullopt;
  return PythonFrame{std::move(*file), std::move(*name),
                     line_of(layout, frame, *table, code.at<int>(layout.code_firstlineno))};
}

int line_from_locations(std::string_view table, int first_line, std::int64_t offset) {
  LocationReader reader(table);
  std::int64_t end = 0;
  int line = first_line;
  while (!reader.done() && offset >= 0) {
    const unsigned head = reader.byte();
    end += (head & 7) + 1;
    const bool has_line = advance_line(reader, head >> 3 & 15, line);
    if (offset < end) return has_line ? line : 0;
  }
  return 0;
}

int line_from_lines(std::string_view table, int first_line, std::int64_t offset) {
  constexpr int kNoLine = -128;
  std::int64_t end = 0;
  int line = first_line;
  for (std::size_t at = 0; at + 1 < table.size() && offset >= 0; at += 2) {
    const int delta = static_cast<signed char>(table[at + 1]);
    if (delta != kNoLine) line += delta;
    end += static_cast<unsigned char>(table[at]);
    if (offset < end) return delta == kNoLine ? 0 : line;
  }
  return 0;
}

PythonState read_state(const Memory& memory, const TricornPythonLayout& layout) {
  PythonState state;
  if (layout.filled != 1) return state;
  const auto locked = word<std::int32_t>(memory, layout.gil_locked);
  const auto holder = word<std::uint64_t>(memory, layout.gil_last_holder);
  const auto collecting = word<std::int32_t>(memory, layout.gc_collecting);
  if (!locked || !holder || !collecting) return state;
  state.readable = true;
  state.gil_locked = *locked == 1;
  state.gil_holder = state.gil_locked ? *holder : 0;  // last_holder stays behind when it is let go
  state.gc_collecting = *collecting != 0;
  return state;
}

namespace {

/// The frames from an address on that show Python code, at most `most`.
/// @param torn  set where the chain breaks
std::vector<RawFrame> read_chain(const Memory& memory, const TricornPythonLayout& layout,
                                 std::uint64_t address, std::size_t most, bool& torn) {
  std::vector<RawFrame> chain;
  constexpr std::uint64_t kFrameBytes = 512;  // what is read of one
  const SnapshotMemory frames(memory, address == 0 ? 0 : address + kFrameBytes);
  for (std::size_t depth = 0; address != 0 && depth < kFramesMax && chain.size() < most; ++depth) {
    const auto raw = read_frame(frames, layout, address);
    if (!raw || (!raw->skip && !is_plausible(raw->code))) {
      torn = true;
      break;
    }
    if (!raw->skip) chain.push_back(*raw);
    address = raw->previous;
    // Somebody runs a generator. It has given a value since it was found, and forgot who that is.
    torn |= address == 0 && raw->of_generator;
  }
  return chain;
}

/// The code objects of these frames, and the starts of what they point to.
ReadAhead read_codes(const Memory& memory, const TricornPythonLayout& layout,
                     const std::vector<RawFrame>& chain) {
  constexpr std::size_t kCodeBytes = 256;   // Source: CPython 3.10-3.13, below 200 with all fields
  constexpr std::size_t kStartBytes = 512;  // of a name, or of most line tables
  ReadAhead ahead(memory);
  std::vector<std::uint64_t> wanted;
  const auto want = [&wanted](std::uint64_t address) {
    const bool is_new = std::find(wanted.begin(), wanted.end(), address) == wanted.end();
    if (is_new && is_plausible(address)) wanted.push_back(address);
  };
  for (const RawFrame& frame : chain) want(frame.code);
  ahead.fetch(wanted, kCodeBytes);
  const std::vector<std::uint64_t> codes = std::exchange(wanted, {});
  for (const std::uint64_t code : codes) {
    for (const std::uint32_t field :
         {layout.code_filename, name_field(layout), layout.code_linetable})
      want(read_word(ahead, code + field).value_or(0));
  }
  ahead.fetch(wanted, kStartBytes);
  return ahead;
}

}  // namespace

std::vector<RawFrame> read_frames(const Memory& memory, const TricornPythonLayout& layout,
                                  std::uint64_t tstate, std::size_t most) {
  if (layout.filled != 1) return {};
  bool torn = false;
  return read_chain(memory, layout, innermost(memory, layout, tstate).value_or(0), most, torn);
}

PythonThread read_stack(const Memory& memory, const TricornPythonLayout& layout,
                        std::uint64_t frame) {
  PythonThread thread;
  const std::vector<RawFrame> chain = read_chain(memory, layout, frame, kFramesMax, thread.torn);
  const ReadAhead codes = read_codes(memory, layout, chain);
  for (const RawFrame& raw : chain) {
    auto frame_there = describe_frame(codes, layout, raw);
    if (!frame_there) {
      thread.torn = true;
      break;
    }
    if (thread.stack.empty()) {
      thread.instruction = raw.code + raw.instruction;
      thread.jumps = is_at_jump(memory, layout, raw);
    }
    thread.stack.push_back(std::move(*frame_there));
  }
  return thread;
}

namespace {

PythonThread read_thread_once(const Memory& memory, const TricornPythonLayout& layout,
                              std::uint64_t tstate) {
  const auto first = innermost(memory, layout, tstate);
  PythonThread thread = first ? read_stack(memory, layout, *first) : PythonThread{};
  thread.tstate = tstate;
  thread.torn |= !first;
  if (first && layout.tstate_native_thread_id != kNone) {
    thread.tid = static_cast<pid_t>(
        word<std::uint64_t>(memory, tstate + layout.tstate_native_thread_id).value_or(0));
  }
  return thread;
}

}  // namespace

PythonThread read_thread(const Memory& memory, const TricornPythonLayout& layout,
                         std::uint64_t tstate) {
  constexpr int kReadsMax = 4;  // Source: our bound
  PythonThread best = read_thread_once(memory, layout, tstate);
  for (int reads = 1; best.torn && reads < kReadsMax; ++reads) {
    PythonThread again = read_thread_once(memory, layout, tstate);
    if (!again.torn || again.stack.size() > best.stack.size()) best = std::move(again);
  }
  return best;
}

std::vector<std::uint64_t> read_thread_list(const Memory& memory,
                                            const TricornPythonLayout& layout) {
  std::vector<std::uint64_t> states;
  if (layout.filled != 1) return states;
  std::uint64_t state = word<std::uint64_t>(memory, layout.threads_head).value_or(0);
  while (is_plausible(state) && states.size() < kPythonThreadsMax) {
    states.push_back(state);
    state = word<std::uint64_t>(memory, state + layout.tstate_next).value_or(0);
  }
  return states;
}

}  // namespace tricorn::diagnose
