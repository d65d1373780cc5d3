#include "diagnose/python_stack.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "diagnose/greenlets.h"
#include "diagnose/testing/interpreter.h"

namespace tricorn::diagnose {
namespace {

using namespace std::string_view_literals;

// Recorded from one function (def in line 2) by CPython 3.10.13 and 3.11.7, as kLocations313 is by
// 3.13.0; the expected lines are what co_lines() of the same interpreter says.
constexpr auto kLines310 = "\x04\x02\x02\x02\x02\x01\x04\xff\x0c\x02\x0a\x01\x04\x01"sv;
constexpr auto kLocations311 =
    "\x80\x00\xe0\x08\x09\x80\x41\xe0\x09\x0a\xd8\x09\x0a\xf1\x03\x01\x0a\x0b\x80\x41\xe5\x0d\x12"
    "\x90\x31\x89\x58\x8c"
    "\x58\xf0\x00\x01\x05\x0f\xf0\x00\x01\x05\x0f\x88\x01\xd8\x08\x09\x88\x51\x89\x06"
    "\x88\x01\x88\x01\xd8\x0b\x0c\x80\x48"sv;
TEST(Lines, Of310AreFoundByByte) {
  for (const auto& [byte, line] :
       std::map<int, int>{{0, 4}, {3, 4}, {4, 6}, {6, 7}, {8, 6}, {12, 8}, {24, 9}, {37, 10}}) {
    EXPECT_EQ(line_from_lines(kLines310, 2, byte), line) << byte;
  }
}

TEST(Lines, Of311AreFoundByCodeUnit) {
  for (const auto& [byte, line] :
       std::map<int, int>{{0, 2}, {2, 4}, {6, 6}, {8, 7}, {10, 6}, {16, 8}, {50, 9}, {64, 10}}) {
    EXPECT_EQ(line_from_locations(kLocations311, 2, byte / 2), line) << byte;
  }
}

TEST(Lines, Of313AreFoundByCodeUnit) {
  for (const auto& [byte, line] :
       std::map<int, int>{{0, 2}, {2, 4}, {8, 7}, {10, 6}, {16, 8}, {44, 9}, {56, 8}, {60, 10}}) {
    EXPECT_EQ(line_from_locations(kLocations313, 2, byte / 2), line) << byte;
  }
}

TEST(Lines, BeyondTheTableThereIsNone) {
  EXPECT_EQ(line_from_lines(kLines310, 2, 38), 0);
  EXPECT_EQ(line_from_lines(kLines310, 2, -2), 0);
  EXPECT_EQ(line_from_locations(kLocations311, 2, 33), 0);
  EXPECT_EQ(line_from_locations(kLocations311, 2, -1), 0);
  EXPECT_EQ(line_from_locations({}, 2, 0), 0);
}

TEST(Lines, ARangeWithoutALineIsNone) {
  EXPECT_EQ(line_from_lines("\x04\x80\x04\x01"sv, 5, 0), 0);
  EXPECT_EQ(line_from_lines("\x04\x80\x04\x01"sv, 5, 4), 6);
  EXPECT_EQ(line_from_locations("\xf8\xd0\x00"sv, 5, 0), 0);
}

TEST(ReadThread, GivesFileFunctionAndLine) {
  const Interpreter python;
  const PythonThread thread = read_thread(python.memory, python.layout, Interpreter::kTstate);
  ASSERT_EQ(thread.stack.size(), 1U);
  EXPECT_EQ(thread.stack[0], (PythonFrame{"/srv/app.py", "f", 7}));
  EXPECT_EQ(thread.tid, 4711);
  EXPECT_FALSE(thread.torn);
}

TEST(ReadThread, SkipsFramesOfTheCStack) {
  Interpreter python;
  python.put_frame(0x41000, Interpreter::kCode, 0, 1, 0);
  python.put_frame(Interpreter::kFrame, 0, 0x41000, 0, 3);
  const PythonThread thread = read_thread(python.memory, python.layout, Interpreter::kTstate);
  ASSERT_EQ(thread.stack.size(), 1U);
  EXPECT_EQ(thread.stack[0].line, 4);
}

constexpr std::uint8_t kJump = 140;

TEST(ReadThread, TellsAJumpFromOtherBytecode) {
  Interpreter python;
  python.layout.jump_opcodes[0] = kJump;
  const std::uint64_t at = Interpreter::kCode + 64 + 4 * 2;
  for (const auto& [opcode, jumps] :
       {std::pair{kJump, true}, {std::uint8_t{0}, false}, {std::uint8_t{100}, false}}) {
    python.memory.put(at, opcode);
    EXPECT_EQ(read_thread(python.memory, python.layout, Interpreter::kTstate).jumps, jumps)
        << int{opcode};
  }
}

TEST(ReadThread, FindsTheBytecodeOf310InItsBytesObject) {
  constexpr std::uint64_t kBytes = 0x33000;
  Interpreter python;
  python.layout.jump_opcodes[0] = kJump;
  python.layout.code_instructions = UINT32_MAX;
  python.layout.code_bytes = 48;
  python.memory.put(Interpreter::kCode + 48, kBytes);
  python.memory.put(kBytes + 32 + 3 * 2, kJump);
  for (const auto& [unit, jumps] : {std::pair{3, true}, {2, false}, {-1, false}}) {
    python.memory.put(Interpreter::kFrame + 16, std::int64_t{unit});
    EXPECT_EQ(read_thread(python.memory, python.layout, Interpreter::kTstate).jumps, jumps) << unit;
  }
}

TEST(ReadThread, ARingOfFramesEndsAtTheBound) {
  Interpreter python;
  python.put_frame(Interpreter::kFrame, Interpreter::kCode, Interpreter::kFrame, 1, 0);
  EXPECT_EQ(read_thread(python.memory, python.layout, Interpreter::kTstate).stack.size(),
            kFramesMax);
}

TEST(ReadThread, KeepsWhatItReadBeforeAChainBroke) {
  Interpreter python;
  python.put_frame(Interpreter::kFrame, Interpreter::kCode, 0xdead0000, 1, 0);
  const PythonThread thread = read_thread(python.memory, python.layout, Interpreter::kTstate);
  EXPECT_EQ(thread.stack.size(), 1U);
  EXPECT_TRUE(thread.torn);
}

TEST(ReadThread, RefusesWhatIsNoCodeObject) {
  Interpreter python;
  python.memory.put(Interpreter::kCode + 8, std::uint64_t{0x61000});
  const PythonThread thread = read_thread(python.memory, python.layout, Interpreter::kTstate);
  EXPECT_TRUE(thread.stack.empty());
  EXPECT_TRUE(thread.torn);
}

TEST(ReadThread, AGeneratorThatNobodyRunsHasBeenLeftMeanwhile) {
  constexpr std::uint64_t kCaller = 0x41000;
  constexpr std::uint8_t kOfThread = 0, kOfGenerator = 1;
  Interpreter python;
  const auto torn = [&](std::uint64_t caller) {
    python.put_frame(Interpreter::kFrame, Interpreter::kCode, caller, 1, kOfGenerator);
    return read_thread(python.memory, python.layout, Interpreter::kTstate).torn;
  };
  python.put_frame(kCaller, Interpreter::kCode, 0, 1, kOfThread);
  EXPECT_FALSE(torn(kCaller));
  EXPECT_TRUE(torn(0));
  python.layout.frame_owner = UINT32_MAX;
  EXPECT_FALSE(torn(0)) << "3.10";
}

/// Memory whose frame has another caller each time it is read, but a whole one only at last.
class ChangingMemory final : public Memory {
 public:
  ChangingMemory(const Interpreter& python, int torn_reads)
      : python_(python), torn_reads_(torn_reads) {}
  bool read(std::uint64_t address, void* into, std::size_t bytes) const override {
    if (!python_.memory.read(address, into, bytes)) return false;
    const bool frame = address == Interpreter::kFrame && bytes > 8 && torn_reads_-- > 0;
    constexpr std::uint64_t kGone = 0xdead0000;
    if (frame) std::memcpy(static_cast<char*>(into) + 8, &kGone, sizeof kGone);
    return true;
  }

 private:
  const Interpreter& python_;
  mutable int torn_reads_;
};

TEST(ReadThread, ReadsAgainWhatBroke) {
  const Interpreter python;
  const auto torn_after = [&](int torn_reads) {
    const ChangingMemory memory(python, torn_reads);
    return read_thread(memory, python.layout, Interpreter::kTstate).torn;
  };
  EXPECT_FALSE(torn_after(3));
  EXPECT_TRUE(torn_after(9)) << "not for ever";
}

TEST(ReadRequestThread, IsOfTheGreenletThatTheHubWasStartedFrom) {
  constexpr std::uint64_t kHub = 0x70000, kMain = 0x71000, kHubPart = 0x72000, kMainPart = 0x73000,
                          kType = 0x74000, kTypeName = 0x75000, kRequest = 0x42000,
                          kHubCode = 0x21000;
  Interpreter python;
  FakeMemory& memory = python.memory;
  python.layout.frame_localsplus = 32;
  python.layout.type_name = 24;
  for (int field = 0; field < 8; ++field) {
    const std::uint64_t offset = static_cast<std::uint64_t>(field) * 8;
    std::uint64_t word = 0;
    memory.read(Interpreter::kCode + offset, &word, sizeof word);
    memory.put(kHubCode + offset, word);
  }
  memory.put(kHubCode + 16, std::uint64_t{0x34000});
  memory.put(kHubCode + 24, std::uint64_t{0x35000});
  python.put_text(0x34000, "/v/site-packages/gevent/hub.py");
  python.put_text(0x35000, "Hub.run");
  python.put_frame(Interpreter::kFrame, kHubCode, 0, 4, 0);
  memory.put(Interpreter::kFrame + 32, kHub);
  for (const std::uint64_t object : {kHub, kMain, kType})
    memory.put_bytes(object, std::string(64, 0));
  for (const std::uint64_t part : {kHubPart, kMainPart})
    memory.put_bytes(part, std::string(512, 0));
  memory.put(kHub + 32, kHubPart);
  memory.put(kHubPart + 200, kMain);
  memory.put(kMain + 8, kType);
  memory.put(kType + 24, kTypeName);
  memory.put_bytes(kTypeName, std::string("greenlet.greenlet") + std::string(64, 0));
  memory.put(kMain + 32, kMainPart);
  memory.put(kMainPart + 96, kRequest);
  python.put_frame(kRequest, Interpreter::kCode, 0, 4, 0);
  const auto read = [&] {
    return read_request_thread(memory, python.layout, Interpreter::kTstate).stack.at(0);
  };
  EXPECT_EQ(read(), (PythonFrame{"/srv/app.py", "f", 7}));
  memory.put(kMainPart + 96, std::uint64_t{0});
  EXPECT_EQ(read().function, "Hub.run") << "not found";
}

TEST(ReadThread, AThreadWithoutPythonCodeHasNoStackAndIsWhole) {
  Interpreter python;
  python.memory.put(Interpreter::kCframe, std::uint64_t{0});
  const PythonThread thread = read_thread(python.memory, python.layout, Interpreter::kTstate);
  EXPECT_TRUE(thread.stack.empty());
  EXPECT_FALSE(thread.torn);
}

TEST(ReadThread, ReadsNamesBeyondLatin1) {
  Interpreter python;
  constexpr std::uint32_t kCompactTwoBytes = 2u << 2 | 1u << 5;
  python.memory.put(Interpreter::kName + 16, std::int64_t{2});
  python.memory.put(Interpreter::kName + 32, kCompactTwoBytes);
  python.memory.put(Interpreter::kName + 56, std::uint16_t{0x20AC});
  python.memory.put(Interpreter::kName + 58, std::uint16_t{'x'});
  EXPECT_EQ(read_thread(python.memory, python.layout, Interpreter::kTstate).stack.at(0).function,
            "\xE2\x82\xACx");
}

TEST(ReadState, TheHolderCountsOnlyWhileTheGilIsLocked) {
  Interpreter python;
  EXPECT_EQ(read_state(python.memory, python.layout).gil_holder, Interpreter::kTstate);
  python.memory.put(Interpreter::kHead + 8, std::int32_t{0});
  EXPECT_EQ(read_state(python.memory, python.layout).gil_holder, 0U);
}

TEST(ReadState, WithoutALayoutNothingIsReadable) {
  Interpreter python;
  python.layout.filled = 0;
  EXPECT_FALSE(read_state(python.memory, python.layout).readable);
  EXPECT_TRUE(read_thread_list(python.memory, python.layout).empty());
}

TEST(ReadThreadList, ARingEndsAtTheBound) {
  Interpreter python;
  python.memory.put(Interpreter::kTstate, Interpreter::kTstate);
  EXPECT_EQ(read_thread_list(python.memory, python.layout).size(), kPythonThreadsMax);
}

}  // namespace
}  // namespace tricorn::diagnose
