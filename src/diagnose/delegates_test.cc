#include "diagnose/delegates.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "diagnose/testing/evidences.h"
#include "diagnose/testing/interpreter.h"

namespace tricorn::diagnose {
namespace {

using Word = std::uint64_t;

constexpr auto kFutures = "concurrent/futures/_base.py";
constexpr auto kFutureThread = "concurrent/futures/thread.py";
constexpr auto kJobPool = "multiprocessing/pool.py";

/// Threads of one frame each, with its variables; the first one waits.
struct Workers : Interpreter {
  static constexpr Word kLocals = 48, kVariables = 12;
  std::vector<ThreadLook> threads;
  Word next = 0x100000;

  Workers() {
    layout.frame_localsplus = kLocals;
    layout.code_nlocalsplus = 44;
    layout.type_name = 24;
    layout.list_items = 24;
  }
  /// An object whose attributes lie behind its head.
  Word put_object(std::string_view type, const std::vector<Word>& fields) {
    const Word at = next + 0x100;
    const Word type_at = next + 0x800;
    memory.put_bytes(next, std::string(0x1000, '\0'));
    memory.put(at + 8, type_at);
    for (std::size_t i = 0; i < fields.size(); ++i) memory.put(at + 16 + i * 8, fields[i]);
    memory.put(type_at + 24, type_at + 64);
    memory.put_bytes(type_at + 64, type);
    next += 0x1000;
    return at;
  }
  Word put_list(Word item) {
    const Word items = put_object("", {});
    memory.put(items, item);
    return put_object("list", {1, items});
  }
  void add(const char* file, const char* function, const std::vector<Word>& variables) {
    const Word code = next;
    const Word tstate = next + 0x800;
    const Word frame = next + 0xA00;
    memory.put_bytes(next, std::string(0x1000, '\0'));
    next += 0x1000;
    memory.put(code + 8, kCodeType);
    memory.put(code + 16, code + 0x200);
    memory.put(code + 24, code + 0x400);
    memory.put(code + 32, kTable);
    memory.put(code + 44, std::uint32_t{kVariables});
    const PythonFrame shown = library(file, function);
    put_text(code + 0x200, shown.file);
    put_text(code + 0x400, function);
    put_frame(frame, code, 0, 4, 0);
    for (std::size_t i = 0; i < variables.size(); ++i)
      memory.put(frame + kLocals + i * 8, variables[i]);
    memory.put(tstate + 16, tstate + 0x100);
    memory.put(tstate + 0x100, frame);
    ThreadLook look = thread('S', threads.empty() ? SYS_futex : SYS_recvfrom, {9});
    look.tid = static_cast<pid_t>(100 + threads.size());
    look.tstate = tstate;
    look.stack = {shown, app()};
    threads.push_back(look);
  }
  /// The one that does the work: its number; 0: nobody.
  [[nodiscard]] pid_t doer() const {
    Stack asked;
    const auto found = read_delegate(memory, layout, threads, asked);
    return found ? found->thread.tid - 100 : 0;
  }
};

std::vector<Word> worker_on(Word jobs, Word job) { return {jobs, 0, 0, 0, 0, 0, 0, 0, 0, 0, job}; }

TEST(Delegate, AThreadOfAPoolIsKnownByTheJobItDoes) {
  Workers made;
  const Word jobs = made.put_object("SimpleQueue", {});
  const Word others = made.put_object("SimpleQueue", {});
  const Word mine = made.put_object("int", {});
  const Word pool = made.put_object("ThreadPool", {0, jobs});
  const Word result = made.put_object("MapResult", {pool, 0, mine, 0});
  made.add(kJobPool, "ApplyResult.wait", {result});
  made.add(kJobPool, "worker", worker_on(jobs, made.put_object("int", {})));
  made.add(kJobPool, "worker", worker_on(others, mine));
  EXPECT_EQ(made.doer(), 0);
  made.add(kJobPool, "worker", worker_on(jobs, mine));
  EXPECT_EQ(made.doer(), 3);
}

TEST(Delegate, WhoeverJoinsAPoolWaitsForItsThreadThatHasAJob) {
  Workers made;
  const Word jobs = made.put_object("SimpleQueue", {});
  const Word pool = made.put_object("ThreadPool", {0, jobs});
  made.add(kJobPool, "Pool.join", {pool});
  made.add(kJobPool, "worker", worker_on(jobs, made.put_object("NoneType", {})));
  EXPECT_EQ(made.doer(), 0);
  made.add(kJobPool, "worker", worker_on(jobs, made.put_object("int", {})));
  EXPECT_EQ(made.doer(), 2);
}

TEST(Delegate, OfSeveralFuturesOneThatIsWorkedOnIsTold) {
  for (const char* function : {"as_completed", "wait"}) {
    Workers made;
    const Word waiter = made.put_object("_AsCompletedWaiter", {});
    const Word other = made.put_object("_AsCompletedWaiter", {});
    const auto item = [&](Word told) {
      const Word future = made.put_object("Future", {0, made.put_list(told)});
      return made.put_object("_WorkItem", {future});
    };
    made.add(kFutures, function, {0, 0, waiter});
    made.add(kFutureThread, "_WorkItem.run", {item(other)});
    made.add(kFutureThread, "_WorkItem.run", {item(waiter)});
    EXPECT_EQ(made.doer(), 2) << function;
  }
}

PythonFrame in_package(const char* file, const char* function) {
  PythonFrame frame = package(file);
  frame.function = function;
  return frame;
}

/// The request waits in a package for an event; another thread runs.
std::optional<Doer> doer_of(const Stack& waits, const Stack& runs, std::int64_t call) {
  ThreadLook first = thread('S', SYS_futex, {0x7000, kPrivateWait});
  ThreadLook second = thread('S', call, {9});
  first.tstate = 1;
  second.tstate = 2;
  first.stack = waits;
  second.stack = runs;
  Stack asked;
  const Workers made;
  return read_delegate(made.memory, made.layout, {first, second}, asked);
}

const Stack kWaits = {library("threading.py", "Event.wait"),
                      in_package("paramiko/transport.py", "start_client"), app()};
const Stack kReads = {in_package("paramiko/packet.py", "read"), library("threading.py", "run")};

TEST(Delegate, APackagesOwnThreadDoesWhatThePackageWaitsFor) {
  const auto found = doer_of(kWaits, kReads, SYS_recvfrom);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->package, "paramiko");
}

TEST(Delegate, AThreadOfAnotherPackageOrOfTheApplicationIsNotBlamed) {
  EXPECT_FALSE(doer_of(kWaits, {in_package("pika/io.py", "read")}, SYS_recvfrom));
  Stack called = kReads;
  called.insert(called.begin() + 1, app(20));
  EXPECT_FALSE(doer_of(kWaits, called, SYS_recvfrom));
  EXPECT_FALSE(doer_of({library("threading.py", "Event.wait"), app()}, kReads, SYS_recvfrom));
  EXPECT_FALSE(doer_of(kWaits, kReads, SYS_clock_nanosleep));
}

TEST(Delegate, OfAPoolOfConnectionsThatHasNoneFreeNoThreadIsBlamed) {
  const Stack waits = {library("threading.py", "Condition.wait"),
                       in_package("pymongo/pool.py", "Pool._get_conn"), app()};
  EXPECT_FALSE(doer_of(waits, {in_package("pymongo/monitor.py", "_run")}, SYS_recvfrom));
}

}  // namespace
}  // namespace tricorn::diagnose
