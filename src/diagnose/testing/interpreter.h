// A made-up interpreter in a made-up memory, for tests of what reads one from outside.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

using namespace std::string_view_literals;

/// Recorded from a function (def in line 2) by CPython 3.13.0.
inline constexpr auto kLocations313 =
    "\x80\x00\xe0\x08\x09\x80\x41\xe0\x09\x0a\xd8\x09\x0a\xf1\x03\x01\x0a\x0b\x80\x41\xe4\x0d\x12"
    "\x90\x31\x8e\x58\x88"
    "\x01\xd8\x08\x09\x89\x06\x8a\x01\xf1\x03\x00\x0e\x16\xe0\x0b\x0c\x80\x48"sv;

/// Bytes at addresses, as a test wrote them.
class FakeMemory final : public Memory {
 public:
  template <class T>
  void put(std::uint64_t address, const T& value) {
    put_bytes(address, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  void put_bytes(std::uint64_t address, std::string_view bytes) {
    for (const char byte : bytes) bytes_[address++] = byte;
  }
  bool read(std::uint64_t address, void* into, std::size_t bytes) const override {
    auto* out = static_cast<char*>(into);
    for (std::size_t i = 0; i < bytes; ++i) {
      const auto found = bytes_.find(address + i);
      if (found == bytes_.end()) return false;
      out[i] = found->second;
    }
    return true;
  }

 private:
  std::map<std::uint64_t, char> bytes_;
};

/// A made-up interpreter of the 3.12 kind: cframes, instruction pointers, C-stack frames.
struct Interpreter {
  static constexpr std::uint64_t kTstate = 0x10000, kCframe = 0x11000, kCode = 0x20000,
                                 kFile = 0x30000, kName = 0x31000, kTable = 0x32000,
                                 kFrame = 0x40000, kHead = 0x50000, kCodeType = 0x60000;
  FakeMemory memory;
  TricornPythonLayout layout{};

  Interpreter() {
    layout.filled = 1;
    layout.threads_head = kHead;
    layout.gil_locked = kHead + 8;
    layout.gil_last_holder = kHead + 16;
    layout.gc_collecting = kHead + 24;
    layout.code_type = kCodeType;
    layout.tstate_next = 0;
    layout.tstate_native_thread_id = 8;
    layout.tstate_frame = 16;
    layout.cframe_current_frame = 0;
    layout.frame_code = 0;
    layout.frame_previous = 8;
    layout.frame_instruction = 16;
    layout.frame_owner = 24;
    layout.owner_cstack = 3;
    layout.object_type = 8;
    layout.code_filename = 16;
    layout.code_name = 24;
    layout.code_qualname = 24;
    layout.code_linetable = 32;
    layout.code_firstlineno = 40;
    layout.code_instructions = 64;
    layout.code_bytes = UINT32_MAX;
    layout.bytes_size = 16;
    layout.bytes_data = 32;
    layout.unicode_length = 16;
    layout.unicode_state = 32;
    layout.unicode_ascii_data = 40;
    layout.unicode_compact_data = 56;
    memory.put(kHead, kTstate);
    memory.put(kHead + 8, std::int32_t{1});
    memory.put(kHead + 16, kTstate);
    memory.put(kHead + 24, std::int32_t{0});
    memory.put(kTstate, std::uint64_t{0});
    memory.put(kTstate + 8, std::uint64_t{4711});
    memory.put(kTstate + 16, kCframe);
    memory.put(kCframe, kFrame);
    put_code();
    put_frame(kFrame, kCode, 0, 4, 0);
  }
  void put_code() {
    memory.put_bytes(kCode, std::string(64, '\0'));
    memory.put(kCode + 8, kCodeType);
    memory.put(kCode + 16, kFile);
    memory.put(kCode + 24, kName);
    memory.put(kCode + 32, kTable);
    memory.put(kCode + 40, 2);
    put_text(kFile, "/srv/app.py");
    put_text(kName, "f");
    memory.put_bytes(kTable, std::string(32, '\0'));
    memory.put(kTable + 16, static_cast<std::int64_t>(kLocations313.size()));
    memory.put_bytes(kTable + 32, kLocations313);
  }
  void put_text(std::uint64_t at, std::string_view text) {
    constexpr std::uint32_t kCompactAscii = 1u << 2 | 1u << 5 | 1u << 6;
    memory.put_bytes(at, std::string(40, '\0'));
    memory.put(at + 16, static_cast<std::int64_t>(text.size()));
    memory.put(at + 32, kCompactAscii);
    memory.put_bytes(at + 40, text);
  }
  void put_frame(std::uint64_t at, std::uint64_t code, std::uint64_t previous, std::uint64_t unit,
                 std::uint8_t owner) {
    memory.put(at, code);
    memory.put(at + 8, previous);
    memory.put(at + 16, code + 64 + unit * 2);
    memory.put(at + 24, std::uint64_t{owner});
  }
};

}  // namespace tricorn::diagnose
