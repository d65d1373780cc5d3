// Rules for code that waits by other means than the kernel's, and the words for queues and pools.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <string>
#include <string_view>
#include <utility>

#include "diagnose/rules.h"
#include "diagnose/testing/causes.h"
#include "diagnose/testing/evidences.h"

namespace tricorn::diagnose {
namespace {

std::string said_of(const Evidence& evidence) { return decide(evidence).because; }

using Idiom = CauseTest;

TEST_P(Idiom, NamesTheCause) { expect_cause(); }

/// An event loop that watches a socket, with the coroutines that it runs.
Evidence awaiting(Stack coroutines, Peer peer = tcp(8080)) {
  coroutines.push_back(library("asyncio/base_events.py", "BaseEventLoop.run_until_complete"));
  coroutines.push_back(app());
  return with_stack(
      with_peer(watched(thread('S', SYS_epoll_pwait, {3, 0, 1, 60000})), std::move(peer)),
      std::move(coroutines));
}

const Row kCoroutines[] = {
    {"sleep_beside_a_socket", awaiting({library("asyncio/tasks.py", "sleep"), app(12)}),
     "wait.sleep"},
    {"socket", awaiting({library("asyncio/streams.py", "StreamReader.read"), app(12)}),
     "wait.network"},
    {"lock", awaiting({library("asyncio/locks.py", "Lock.acquire"), app(12)}), "wait.lock"},
    {"event_of_a_package_that_reads",
     awaiting({library("asyncio/locks.py", "Event.wait"), package("anyio/_backends/_asyncio.py"),
               app(12)}),
     "wait.network"},
    {"queue", awaiting({library("asyncio/queues.py", "Queue.get"), app(12)}), "wait.queue"},
    {"a_package_called_asyncio", awaiting({package("redis/asyncio/tasks.py"), app(12)}),
     "wait.database"},
};
INSTANTIATE_TEST_SUITE_P(Coroutine, Idiom, testing::ValuesIn(kCoroutines), named);

/// Sleeps for a moment, so many times a second.
Evidence sleeping_often(int times) {
  return each_look(sleeping(), [times](ProcessLook& look, std::size_t i) {
    look.threads[0].switches = static_cast<std::int64_t>(i) * times / 4;
  });
}

Evidence with_contended_file(Evidence evidence, std::string handling = "") {
  evidence.contended = of_kind(Peer::Kind::File, "/srv/job.lock");
  evidence.contended->holder = 77;
  evidence.handling = std::move(handling);
  return evidence;
}

const Row kPolls[] = {
    {"file_that_another_has_locked", with_contended_file(sleeping_often(8)), "wait.file_lock"},
    {"refused_lock", with_contended_file(sleeping(), "BlockingIOError"), "wait.file_lock"},
    {"one_long_sleep_beside_a_locked_file", with_contended_file(sleeping()), "wait.sleep"},
    {"connection_refused",
     [] {
       Evidence evidence = sleeping_often(8);
       evidence.handling = "ConnectionRefusedError";
       return evidence;
     }(),
     "wait.sleep"},
};
INSTANTIATE_TEST_SUITE_P(Poll, Idiom, testing::ValuesIn(kPolls), named);

TEST(Verdict, OfAnAsyncViewTheCoroutinesLineIsThePlace) {
  Evidence evidence = held_by_other(locked(), thread('S', SYS_epoll_pwait, {3, 0, 1, 60000}));
  evidence.lock_waits.clear();
  const Stack loop = {library("selectors.py", "EpollSelector.select"),
                      library("asyncio/base_events.py", "BaseEventLoop.run_forever")};
  for (ProcessLook& look : evidence.looks) look.threads[1].stack = loop;
  evidence.delegate = Delegate{2, own_pair(), {library("asyncio/tasks.py", "sleep"), app(12)}};
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitSleep);
  EXPECT_EQ(verdict.place, "app.py:12");
  EXPECT_EQ(verdict.innermost, "tasks.py:5 sleep");
  EXPECT_NE(verdict.because.find("(asyncio.sleep) (in thread 101, which"), std::string::npos)
      << verdict.because;
  evidence.delegate->stack.pop_back();
  evidence.asked = {library("asyncio/threads.py", "to_thread"), app(13)};
  EXPECT_EQ(decide(evidence).place, "app.py:13");
}

TEST(Verdict, OfWhatAPackageDoesForACoroutineItsLineIsThePlace) {
  PythonFrame run = package("asgiref/current_thread_executor.py");
  run.function = "_WorkItem.run";
  const PythonFrame compiler = package("django/db/models/sql/compiler.py");
  Evidence evidence = with_stack(sleeping(), {compiler, run, app(11)});
  evidence.asked = {package("asgiref/sync.py"), app(13)};
  EXPECT_EQ(decide(evidence).place, "app.py:13");
  EXPECT_EQ(decide(with_stack(evidence, {compiler, app(14), run, app(11)})).place, "app.py:14");
}

TEST(Verdict, HowOftenAndAfterWhatItSleepsIsSaid) {
  Evidence evidence = sleeping_often(8);
  evidence.handling = "ConnectionRefusedError";
  EXPECT_NE(said_of(evidence).find("(time.sleep or alike, about 8 times a second, while it handles "
                                   "ConnectionRefusedError)"),
            std::string::npos)
      << said_of(evidence);
  EXPECT_NE(said_of(sleeping()).find("(time.sleep or alike)"), std::string::npos);
}

TEST(Verdict, APolledFileLockIsSaidAsFarAsItIsKnown) {
  const Verdict refused = decide(with_contended_file(sleeping(), "BlockingIOError"));
  EXPECT_EQ(refused.peer, "/srv/job.lock");
  EXPECT_EQ(refused.hint, "ps -fp 77");
  EXPECT_NE(refused.because.find("asked for the lock on /srv/job.lock again and again"),
            std::string::npos)
      << refused.because;
  EXPECT_NE(said_of(with_contended_file(sleeping_often(8)))
                .find("while /srv/job.lock, which it has open, is locked by pid 77"),
            std::string::npos);
}

TEST(Verdict, ALockInRedisIsOneThatIsAskedForAgainAndAgain) {
  PythonFrame acquire = package("redis/lock.py");
  acquire.function = "Lock.acquire";
  const Verdict verdict = decide(with_stack(sleeping_often(8), {acquire, app()}));
  EXPECT_EQ(verdict.cause, Cause::WaitLock);
  EXPECT_NE(verdict.because.find("a lock in Redis, which it asks for again and again, about 8"),
            std::string::npos)
      << verdict.because;
  EXPECT_EQ(decide(with_stack(with_peer(receiving(), tcp(6379)), {acquire, app()})).cause,
            Cause::WaitDatabase);
}

TEST(Verdict, ACallOfThisServerToItselfIsSaid) {
  Peer self = tcp(8000);
  self.server = true;
  Evidence evidence = with_peer(receiving(), self);
  evidence.server_busy = evidence.server_threads = 4;
  EXPECT_NE(said_of(evidence).find("for 10.0.0.7:8000, which is this server itself (all its 4 "
                                   "threads are busy), to answer"),
            std::string::npos)
      << said_of(evidence);
  evidence.server_busy = 3;
  EXPECT_NE(said_of(evidence).find("(3 of its 4 threads busy)"), std::string::npos);
  evidence.server_threads = 0;
  EXPECT_NE(said_of(evidence).find("this server itself, to answer"), std::string::npos);
}

TEST(Verdict, WhatAQueueIsWaitedForIsSaid) {
  const auto said = [](const char* method) {
    return said_of(with_stack(
        locked(), {library("threading.py", "Condition.wait"), library("queue.py", method), app()}));
  };
  EXPECT_NE(said("Queue.get").find("for an item of an empty queue"), std::string::npos);
  EXPECT_NE(said("Queue.put").find("for room in a full queue"), std::string::npos);
  EXPECT_NE(said("Queue.join").find("for all items of a queue to be done"), std::string::npos);
}

TEST(Verdict, AnEmptyPoolOfConnectionsIsNamed) {
  PythonFrame get = package("sqlalchemy/pool/impl.py");
  get.function = "QueuePool._do_get";
  const Verdict verdict =
      decide(with_stack(locked(), {library("threading.py", "Condition.wait"), get, app()}));
  EXPECT_EQ(verdict.cause, Cause::WaitQueue);
  EXPECT_NE(verdict.because.find("a connection of its pool (SQLAlchemy), which has none free"),
            std::string::npos)
      << verdict.because;
}

TEST(Verdict, AnEmptyPoolOfAnEventLoopIsNamedWhateverTheLoopWatches) {
  PythonFrame waits = package("httpcore/_async/connection_pool.py");
  waits.function = "AsyncPoolRequest.wait_for_connection";
  const Evidence loop =
      with_peer(watched(thread('S', SYS_epoll_pwait, {3, 0, 1, 60000})), tcp(443));
  EXPECT_NE(said_of(with_stack(loop, {library("asyncio/locks.py", "Event.wait"), waits, app()}))
                .find("a connection of its pool (HTTPX), which has none free"),
            std::string::npos);
  // A pool that makes a connection waits for whom it connects to.
  EXPECT_EQ(decide(with_stack(loop, {library("asyncio/streams.py", "read"), waits, app()})).cause,
            Cause::WaitNetwork);
}

TEST(Verdict, APollThatComesBackByItselfIsNoProgress) {
  const auto polled = [](std::int64_t times) {
    Evidence evidence = with_peer(watched(thread('S', SYS_poll, {0x7000, 1, 1000})), tcp(6379));
    return each_look(std::move(evidence), [times](ProcessLook& look, std::size_t i) {
      look.threads[0].switches = static_cast<std::int64_t>(i) * times / 4;
    });
  };
  EXPECT_EQ(decide(polled(4)).cause, Cause::WaitNetwork);
  EXPECT_EQ(decide(polled(40)).cause, Cause::TimeoutTooShort);
}

TEST(Verdict, ThePackageForDnsAsksANameServer) {
  Peer own = tcp(0);
  own.kind = Peer::Kind::Udp;
  const Evidence asks = with_peer(watched(thread('S', SYS_epoll_pwait, {3, 0, 1, 60000})), own);
  const Verdict verdict = decide(with_stack(asks, {package("dns/query.py"), app()}));
  EXPECT_EQ(verdict.cause, Cause::WaitDns);
  EXPECT_EQ(verdict.peer, "");
  EXPECT_EQ(verdict.hint, "") << "its own address is no name server";
}

TEST(Verdict, ADriverThatWaitsForAnEventOfItsOwnWaitsForItsDatabase) {
  const Verdict verdict = decide(with_stack(locked(), {library("threading.py", "Condition.wait"),
                                                       package("pymongo/topology.py"), app()}));
  EXPECT_EQ(verdict.cause, Cause::WaitDatabase);
  EXPECT_EQ(verdict.peer, "MongoDB");
}

/// A thread of a package's own waits for a peer or sleeps; the request waits for an event of it.
Evidence beside_a_package(const ThreadLook& runs, std::optional<Peer> peer) {
  Evidence evidence = held_by_other(locked(), runs);
  evidence.lock_waits.clear();
  evidence = each_look(std::move(evidence), [](ProcessLook& look, std::size_t) {
    look.threads[0].stack = {library("threading.py", "Event.wait"), package("paramiko/a.py"),
                             app(12)};
    look.threads[1].stack = {package("paramiko/packet.py")};
  });
  evidence.delegate = Delegate{2, std::move(peer), evidence.looks[0].threads[1].stack, "paramiko"};
  evidence.asked = evidence.looks[0].threads[0].stack;
  return evidence;
}

TEST(Verdict, WhomAPackagesOwnThreadWaitsForIsSaidAtTheApplicationsLine) {
  const Verdict verdict = decide(beside_a_package(thread('S', SYS_recvfrom, {9}), tcp(22)));
  EXPECT_EQ(verdict.cause, Cause::WaitNetwork);
  EXPECT_EQ(verdict.place, "app.py:12");
  EXPECT_NE(verdict.because.find("(in thread 101 of paramiko, which it waits for)"),
            std::string::npos)
      << verdict.because;
}

TEST(Verdict, APackagesThreadThatOnlySleepsIsNotTheReason) {
  const Verdict verdict = decide(beside_a_package(thread('S', SYS_clock_nanosleep), std::nullopt));
  EXPECT_EQ(verdict.cause, Cause::WaitLock);
  EXPECT_NE(verdict.because.find("(the only other thread that is not idle: thread 101"),
            std::string::npos)
      << verdict.because;
}

TEST(Verdict, TheOnlyOtherThreadOfTheApplicationIsNamedBesideAQueue) {
  Evidence evidence = held_by_other(locked(), thread('S', SYS_clock_nanosleep));
  evidence.lock_waits.clear();
  evidence = each_look(std::move(evidence), [](ProcessLook& look, std::size_t) {
    look.threads[0].stack = {library("threading.py", "Condition.wait"),
                             library("queue.py", "Queue.get"), app()};
  });
  EXPECT_NE(said_of(evidence).find("(the only other thread in the application's code: thread 101 "
                                   "at app.py:77 in view, which sleeps)"),
            std::string::npos)
      << said_of(evidence);
  EXPECT_EQ(said_of(beside(evidence, thread('R', -1))).find("the only other"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::diagnose
