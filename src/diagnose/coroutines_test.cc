#include "diagnose/coroutines.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "diagnose/testing/interpreter.h"

namespace tricorn::diagnose {
namespace {

using Word = std::uint64_t;

/// An event loop of CPython 3.12's kind that waits in `select`, and runs one task.
struct EventLoop : Interpreter {
  static constexpr Word kTask = 0x70000, kOuter = 0x71000, kInner = 0x72000, kIterator = 0x73000,
                        kFuture = 0x74000, kFrameOf = 48, kStateOf = 40, kLocals = 48;
  Word next_type = 0x80000;

  EventLoop() {
    layout.generator_state = kStateOf;
    layout.generator_frame = kFrameOf;
    layout.frame_localsplus = kLocals;
    layout.frame_stack_top = 40;
    layout.frame_value_stack = UINT32_MAX;
    layout.code_nlocalsplus = 44;
    layout.type_name = 24;
    memory.put(kCode + 44, std::uint32_t{1});
    put_object(kTask, "_asyncio.Task", {0, 0, kOuter});
    put_coroutine(kOuter, "coroutine", kInner);
    put_coroutine(kInner, "generator", kIterator);
    put_object(kIterator, "_asyncio.FutureIter", {kFuture});
    put_object(kFuture, "_asyncio.Future", {});
    put_function(0x42000, "/usr/lib/python3.12/selectors.py", "EpollSelector.select", kFrame, 0);
    put_function(0x43000, "/usr/lib/python3.12/asyncio/base_events.py", "run", kFrame + 0x100,
                 kTask);
    put_function(0x44000, "/srv/app.py", "view", kFrame + 0x200, 0);
    put_frame(kFrame, 0x42000, kFrame + 0x100, 4, 0);
    put_frame(kFrame + 0x100, 0x43000, kFrame + 0x200, 4, 0);
    put_frame(kFrame + 0x200, 0x44000, 0, 4, 0);
  }
  void put_object(Word at, std::string_view type, const std::vector<Word>& fields) {
    memory.put_bytes(at, std::string(256, '\0'));
    memory.put(at + 8, next_type);
    for (std::size_t i = 0; i < fields.size(); ++i) memory.put(at + 16 + i * 8, fields[i]);
    memory.put(next_type + 24, next_type + 64);
    memory.put_bytes(next_type + 64, std::string(type) + std::string(64, '\0'));
    next_type += 0x1000;
  }
  void put_coroutine(Word at, std::string_view type, Word awaits, std::int8_t state = -1) {
    put_object(at, type, {});
    memory.put(at + kStateOf, state);
    put_frame(at + kFrameOf, kCode, 0, 4, 0);
    memory.put(at + kFrameOf + 40, std::int32_t{2});
    memory.put(at + kFrameOf + kLocals + 8, awaits);
  }
  /// A code object of its own name, and its frame with one variable.
  void put_function(Word code, std::string_view file, std::string_view name, Word frame,
                    Word variable) {
    memory.put_bytes(code, std::string(64, '\0'));
    memory.put(code + 8, kCodeType);
    memory.put(code + 16, code + 0x200);
    memory.put(code + 24, code + 0x400);
    memory.put(code + 32, kTable);
    memory.put(code + 40, 2);
    memory.put(code + 44, std::uint32_t{1});
    put_text(code + 0x200, file);
    put_text(code + 0x400, name);
    memory.put(frame + 40, Word{1});
    memory.put(frame + kLocals, variable);
  }
  [[nodiscard]] PythonThread read() const {
    PythonThread thread = read_thread(memory, layout, kTstate);
    add_awaited(memory, layout, thread);
    return thread;
  }
};

std::vector<std::string> functions(const PythonThread& thread) {
  std::vector<std::string> names;
  for (const PythonFrame& frame : thread.stack) names.push_back(frame.function);
  return names;
}

const std::vector<std::string> kLoopItself = {"EpollSelector.select", "run", "view"};

TEST(Awaited, EachAwaitReadsAsACallAndTheLoopsOwnFramesGo) {
  const EventLoop loop;
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "run", "view"}));
  EXPECT_EQ(loop.read().stack[0].line, 7);
  EXPECT_EQ(loop.read().awaited, EventLoop::kFuture);
}

TEST(Awaited, ALoopThatRunsACallbackKeepsItsFrames) {
  EventLoop loop;
  loop.put_function(0x42000, "/srv/app.py", "callback", Interpreter::kFrame, 0);
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"callback", "run", "view"}));
}

TEST(Awaited, ATaskThatHasEndedIsNotReadOn) {
  EventLoop loop;
  loop.put_coroutine(EventLoop::kOuter, "coroutine", EventLoop::kInner, 4);
  EXPECT_EQ(functions(loop.read()), kLoopItself);
  EXPECT_EQ(loop.read().awaited, 0U);
}

TEST(Awaited, WithoutATaskInTheLoopsFramesNothingIsSaid) {
  EventLoop loop;
  loop.put_object(EventLoop::kTask, "dict", {0, 0, EventLoop::kOuter});
  EXPECT_EQ(functions(loop.read()), kLoopItself);
}

/// The same loop, whose inner coroutine awaits a gather() of two tasks.
struct Gathering : EventLoop {
  static constexpr Word kGathering = 0x75000, kDict = 0x75200, kValues = 0x75400, kList = 0x75600,
                        kItems = 0x75800, kFirst = 0x76000, kSecond = 0x76200,
                        kFirstWaits = 0x77000, kSecondWaits = 0x78000;

  Gathering() {
    layout.list_items = 24;
    put_object(kGathering, "_GatheringFuture", {0, kDict});
    put_object(kDict, "dict", {0, 0, 0, kValues});
    put_object(kValues, "", {kList});
    put_object(kList, "list", {2, kItems});
    memory.put(kList + 24, kItems);
    memory.put(kItems, kFirst);
    memory.put(kItems + 8, kSecond);
    put_object(kFirst, "_asyncio.Task", {0, 0, kFirstWaits});
    put_object(kSecond, "_asyncio.Task", {0, 0, kSecondWaits});
    put_coroutine(kFirstWaits, "coroutine", kFuture);
    put_coroutine(kSecondWaits, "coroutine", kFuture);
    put_object(kIterator, "_asyncio.FutureIter", {kGathering});
  }
};

TEST(Awaited, OfTasksThatAreGatheredThePlaceWhereAllStandIsReadOn) {
  const Gathering loop;
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "f", "run", "view"}));
  EXPECT_EQ(loop.read().awaited, EventLoop::kFuture);
}

TEST(Awaited, AGatheringFutureMayKeepItsAttributesBeforeItsFields) {
  Gathering loop;
  loop.memory.put(Gathering::kGathering + 24, std::uint64_t{0});
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "run", "view"}));
  for (const Word before : {24U, 16U, 8U})
    loop.memory.put(Gathering::kGathering - before, before == 24 ? Gathering::kDict : 0);
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "f", "run", "view"}));
}

TEST(Awaited, OfTasksThatStandAtDifferentPlacesNoneIsChosen) {
  Gathering loop;
  loop.put_frame(Gathering::kSecondWaits + EventLoop::kFrameOf, Interpreter::kCode, 0, 9, 0);
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "run", "view"}));
}

TEST(Awaited, OfGatheredTasksThoseThatHaveEndedAreLeftOut) {
  Gathering loop;
  loop.put_frame(Gathering::kSecondWaits + EventLoop::kFrameOf, Interpreter::kCode, 0, 9, 0);
  loop.memory.put(Gathering::kSecondWaits + EventLoop::kStateOf, std::int8_t{4});
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "f", "f", "run", "view"}));
}

/// A coroutine of TaskGroup's kind: its first variable has the set of its tasks.
TEST(Awaited, OfTasksInASetThePlaceWhereTheyStandIsReadOn) {
  constexpr Word kCodeOfWait = 0x45000, kSet = 0x79000, kTable = 0x79200;
  Gathering loop;
  loop.put_function(kCodeOfWait, "/usr/lib/python3.12/asyncio/tasks.py", "_wait",
                    EventLoop::kInner + EventLoop::kFrameOf, kSet);
  loop.memory.put(EventLoop::kInner + EventLoop::kFrameOf, kCodeOfWait);
  loop.memory.put(EventLoop::kInner + EventLoop::kFrameOf + 16, kCodeOfWait + 68);
  loop.memory.put(EventLoop::kInner + EventLoop::kFrameOf + 40, std::int32_t{2});
  loop.put_object(kSet, "set", {1, 1, 7, kTable});
  loop.put_object(kTable, "", {});
  loop.memory.put(kTable + 48, Gathering::kFirst);
  EXPECT_EQ(functions(loop.read()), (std::vector<std::string>{"f", "_wait", "f", "run", "view"}));
}

/// Up to 3.12 the coroutine that waits for the next one knows of a queue alone.
TEST(Awaited, TheTasksOfAsCompletedAreInTheGeneratorOfWhoeverAwaitsTheNext) {
  constexpr Word kCodeOfWait = 0x45000, kCodeOfAll = 0x46000, kGenerator = 0x7B000, kCell = 0x7C000;
  constexpr auto kTasks = "/usr/lib/python3.12/asyncio/tasks.py";
  constexpr Word kInnerFrame = EventLoop::kInner + EventLoop::kFrameOf;
  constexpr Word kGeneratorFrame = kGenerator + EventLoop::kFrameOf;
  Gathering loop;
  loop.layout.code_stacksize = 48;
  loop.memory.put(Interpreter::kCode + 48, std::uint32_t{1});
  loop.put_function(kCodeOfWait, kTasks, "as_completed.<locals>._wait_for_one", kInnerFrame, 0);
  loop.put_frame(kInnerFrame, kCodeOfWait, 0, 4, 0);
  loop.memory.put(kInnerFrame + 40, std::int32_t{2});
  loop.put_coroutine(kGenerator, "generator", 0);
  loop.put_function(kCodeOfAll, kTasks, "as_completed", kGeneratorFrame, kCell);
  loop.put_frame(kGeneratorFrame, kCodeOfAll, 0, 4, 0);
  loop.put_object(kCell, "cell", {Gathering::kList});
  const std::vector<std::string> untold = {"as_completed.<locals>._wait_for_one", "f", "run",
                                           "view"};
  EXPECT_EQ(functions(loop.read()), untold);
  loop.memory.put(EventLoop::kOuter + EventLoop::kFrameOf + EventLoop::kLocals, kGenerator);
  std::vector<std::string> told = untold;
  told.insert(told.begin(), "f");
  EXPECT_EQ(functions(loop.read()), told);
}

TEST(Awaited, ARingOfCoroutinesEndsAtTheBound) {
  EventLoop loop;
  loop.put_coroutine(EventLoop::kInner, "coroutine", EventLoop::kOuter);
  EXPECT_EQ(loop.read().stack.size(), 64U + 2);
}

// Everything refers to None: a worker of any pool would.
TEST(Chained, OfWhatACallbackRefersToOnlyFuturesCount) {
  constexpr Word kCallback = 0x76000, kClosure = 0x77000, kCells = 0x78000, kValues = 0x7a000;
  EventLoop loop;
  loop.layout.function_closure = 40;
  loop.layout.tuple_items = 24;
  loop.put_object(EventLoop::kFuture, "_asyncio.Future", {0, kCallback});
  loop.put_object(kCallback, "function", {0, 0, 0, kClosure});
  const std::vector<std::string> types = {"NoneType", "_UnixSelectorEventLoop", "Future"};
  std::vector<Word> cells = {types.size()};
  for (Word i = 0; i < types.size(); ++i) {
    loop.put_object(kValues + i * 0x400, types[i], {});
    loop.put_object(kCells + i * 0x400, "cell", {kValues + i * 0x400});
    cells.push_back(kCells + i * 0x400);
  }
  loop.put_object(kClosure, "tuple", cells);
  PythonObjects objects(loop.memory, loop.layout);
  EXPECT_EQ(chained_to(objects, EventLoop::kFuture), std::vector<Word>{kValues + 2 * 0x400});
}

}  // namespace
}  // namespace tricorn::diagnose
