// The words of verdicts: who or what is named.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>
#include <utility>

#include "diagnose/rules.h"
#include "diagnose/testing/evidences.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {
namespace {

std::string said_of(const Evidence& evidence) { return decide(evidence).because; }

Evidence transferring(long call, Peer peer) {
  return with_peer(watched(thread('S', call, {static_cast<std::uint64_t>(peer.fd)})), peer);
}

TEST(Verdict, WhatOthersWereRefusedIsSaidBeside) {
  const Evidence evidence =
      each_look(sleeping(), [](ProcessLook& look, std::size_t i) { look.cgroup.pids_denied = i; });
  EXPECT_EQ(decide(evidence).otherwise,
            "meanwhile the cgroup's limit of processes and threads refused new ones");
}

TEST(Death, TheVictimOfAnOomKillIsSureOnlyWhereNobodyElseCouldBeIt) {
  const auto said = [](bool had_children, std::vector<OomVictim> victims) {
    return said_of(dead(SIGKILL, [&](Death& death) {
      death.after.oom_kill = 4;
      death.had_children = had_children;
      death.oom_victims = std::move(victims);
    }));
  };
  const std::string sure =
      "Out of memory: killed by the kernel at the cgroup's limit of 96 MiB (oom_kill 3 -> 4)";
  EXPECT_EQ(said(false, {}), sure);
  EXPECT_EQ(said(true, {{42, "tricorn-worker"}}), sure);
  EXPECT_EQ(said(true, {}),
            "Probably out of memory: the kernel killed this worker or a child of it at the "
            "cgroup's limit of 96 MiB (oom_kill 3 -> 4)");
  EXPECT_EQ(said(true, {{51, "convert"}}),
            "Not by this server: kill -9, an agent, or the application itself; the kernel's OOM "
            "counter rose for pid 51 (convert), not for it");
}

TEST(Death, ACounterThatWentDownSaysNothing) {
  EXPECT_EQ(said_of(dead(SIGKILL, [](Death& death) { death.after.oom_kill = 0; })),
            "Not by this server: kill -9, an agent, or the application itself; the kernel's OOM "
            "counter was not comparable");
}

TEST(Death, ASignalToItselfIsCalledThat) {
  const auto said = [](pid_t by) {
    return said_of(dead(0, [by](Death& death) { death.asked_by = by; }));
  };
  EXPECT_EQ(said(42),
            "Told to leave by a signal (INT, QUIT or TERM) that the application sent to its own "
            "process");
  EXPECT_EQ(said(99), "Told to leave by a signal of pid 99, from outside this server");
}

TEST(Death, OnlyAFaultHasAnAddress) {
  const auto said = [](int code) {
    return said_of(dead(SIGSEGV, [code](Death& death) {
      death.crash_signal = SIGSEGV;
      death.crash_code = code;
      death.address = 8;
    }));
  };
  EXPECT_EQ(said(SEGV_MAPERR), "Crashed, address 0x8");
  EXPECT_EQ(said(SI_KERNEL), "Crashed");
  EXPECT_EQ(said(SI_TKILL),
            "Crashed (raised in the worker itself, by a handler or kill: no address)");
}

TEST(Verdict, TheOtherEndOfAPipeIsNamed) {
  const auto said = [](long call, Peer peer) { return said_of(transferring(call, peer)); };
  EXPECT_EQ(said(SYS_read, held_end(9, 31, "sort")),
            "waited 0.5 of 3.0 s for data from a pipe (pipe:[9]) whose writer is sort (pid 31)");
  EXPECT_EQ(said(SYS_write, held_end(9, 31, "sort")),
            "waited 0.5 of 3.0 s to write to a pipe (pipe:[9]) whose reader is sort (pid 31)");
  EXPECT_EQ(said(SYS_write, held_end(1, 31, "tee")),
            "waited 0.5 of 3.0 s for the reader of its stdout, tee (pid 31), which has stopped "
            "reading (pipe:[9])");
  EXPECT_EQ(said(SYS_read, held_end(0, 31, "sh")),
            "waited 0.5 of 3.0 s for data from its stdin, a pipe (pipe:[9]) whose writer is sh "
            "(pid 31)");
  EXPECT_EQ(said(SYS_write, end_of(9, "/run/audit.fifo")),
            "waited 0.5 of 3.0 s for the reader of a named pipe (/run/audit.fifo) to take its "
            "data");
}

TEST(Verdict, AChildThatHasEndedIsNotWaitedForWhileAnotherHasItsPipe) {
  Evidence evidence = with_stack(with_peer(receiving(), held_end(9, 77, "tail")),
                                 {library("subprocess.py", "Popen._communicate"), app()});
  evidence.children = {{55, 'Z', "sh"}};
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::WaitSubprocess);
  EXPECT_EQ(verdict.because,
            "waited 0.5 of 3.0 s for data from a pipe (pipe:[9]) whose writer is tail (pid 77); "
            "the child process 55 itself has ended");
  EXPECT_EQ(verdict.peer, "pid 77 (tail)");
  EXPECT_EQ(verdict.hint, "ps -fp 77");
}

TEST(Verdict, AFuseFileSystemThatDoesNotAnswerIsSaidToBeOne) {
  ThreadLook asking = thread('S', SYS_openat, {0, 0x7000});
  asking.wchan = "request_wait_answer";
  const Verdict verdict = decide(with_peer(watched(asking), of_kind(Peer::Kind::File, "/mnt/x")));
  EXPECT_EQ(verdict.cause, Cause::WaitDisk);
  EXPECT_EQ(verdict.because,
            "waited 0.5 of 3.0 s for /mnt/x, whose FUSE file system does not answer");
}

TEST(Verdict, WhoHasTheOtherSideOfATerminalIsNamed) {
  Evidence evidence = transferring(SYS_read, end_of(7, "/dev/ptmx", Peer::Kind::File));
  EXPECT_EQ(decide(evidence).cause, Cause::WaitPipe);
  EXPECT_EQ(said_of(evidence), "waited 0.5 of 3.0 s for data from a terminal (/dev/ptmx)");
  evidence = with_child(std::move(evidence));
  EXPECT_EQ(decide(evidence).cause, Cause::WaitSubprocess);
  EXPECT_EQ(said_of(evidence),
            "waited 0.5 of 3.0 s for the child process 55 (sleep) to write to its terminal");
}

TEST(Verdict, ADriverWhosePeerWasGoneWhenItWasLookedUpIsNamed) {
  const Evidence evidence =
      with_stack(watched(thread('S', SYS_recvfrom, {6})), {package("redis/connection.py"), app()});
  EXPECT_EQ(decide(evidence).cause, Cause::WaitDatabase);
  EXPECT_EQ(said_of(evidence), "waited 0.5 of 3.0 s for Redis to answer");
}

/// A loop that moves on, seen to hold the GIL in so many of six looks.
Evidence looping(int with_gil) {
  Evidence evidence = burning(100);
  for (int i = 0; i < 3; ++i) evidence.quick.push_back(evidence.looks.back().threads[0]);
  int seen = 0;
  const auto set = [&](ThreadLook& look) {
    look.instruction = static_cast<std::uint64_t>(seen);
    look.has_gil = seen++ < with_gil;
  };
  for (ProcessLook& look : evidence.looks) set(look.threads[0]);
  for (ThreadLook& look : evidence.quick) set(look);
  return evidence;
}

TEST(Verdict, ALoopThatRunsWithoutTheGilIsOneOfCallsIntoC) {
  EXPECT_EQ(decide(looping(1)).cause, Cause::CpuNativeNogil);
  EXPECT_EQ(said_of(looping(1)),
            "ran 3.0 s mostly in C code that has let the GIL go (83% of the looks), called again "
            "and again");
  EXPECT_EQ(decide(looping(3)).cause, Cause::CpuPython);
  EXPECT_EQ(said_of(looping(3)),
            "ran 3.0 s in Python code, line by line, and in C code that has let the GIL go (50% of "
            "the looks)");
  EXPECT_EQ(said_of(looping(5)), "ran 3.0 s in Python code, line by line");
}

TEST(Verdict, AStackThatWasTornIsNotThePlace) {
  Evidence evidence = looping(6);
  for (std::size_t i = 0; i < evidence.looks.size(); ++i) {
    ThreadLook& look = evidence.looks[i].threads[0];
    const PythonFrame fast = package("pandas/core/nanops.py");
    look.stack = {fast, app(484), library("threading.py", "run")};
    if (i > 0) look.stack = {fast};
  }
  ProcessLook sample = evidence.looks.front();
  sample.at_ns -= 500 * kMs;
  evidence.samples = {sample};
  EXPECT_EQ(decide(evidence).place, "app.py:484");
}

TEST(Verdict, TheChildThatIsAskedForIsNamed) {
  Evidence evidence = watched(thread('S', SYS_wait4, {55}));
  evidence.children = {{55, 'S', "sh"}, {56, 'S', "sleep"}};
  EXPECT_EQ(decide(evidence).peer, "pid 55 (sh)");
  EXPECT_TRUE(said_of(evidence).ends_with("for the child process 55 (sh)")) << said_of(evidence);
  for (ProcessLook& look : evidence.looks) look.threads[0].args[0] = UINT64_MAX;
  evidence.children[1].state = 'Z';
  EXPECT_EQ(decide(evidence).peer, "pid 55 (sh)") << "the other one has ended";
}

TEST(Verdict, SqliteNamesItsDatabaseAndTheHolder) {
  const Verdict verdict = decide(with_peer(sleeping(), sqlite_file(31)));
  EXPECT_EQ(verdict.because,
            "waited 0.5 of 3.0 s for the lock on /srv/shop.db (SQLite), held by pid 31");
  EXPECT_EQ(verdict.peer, "/srv/shop.db");
  EXPECT_EQ(verdict.hint, "ps -fp 31");
  const Verdict own = decide(with_peer(sleeping(), sqlite_file(42)));
  EXPECT_TRUE(own.because.ends_with("held by this worker itself")) << own.because;
  EXPECT_EQ(own.hint, "");
}

TEST(Verdict, OwnAddressesAreNoPeers) {
  Peer own = tcp(0, "LISTEN");
  own.address = "127.0.0.1:46589";
  const Verdict listener = decide(with_peer(watched(thread('S', SYS_accept4, {6})), own));
  EXPECT_EQ(listener.because,
            "waited 0.5 of 3.0 s for somebody to connect to 127.0.0.1:46589, where it listens");
  EXPECT_EQ(listener.peer, "");
  own.kind = Peer::Kind::Udp;
  own.state = "";
  EXPECT_EQ(decide(with_peer(receiving(), own)).because,
            "waited 0.5 of 3.0 s for a datagram on its own UDP port 40000, which is connected to "
            "nobody");
}

TEST(Verdict, FurtherPeersOfOneCallAreCounted) {
  Peer peer = tcp(8080);
  peer.others = 2;
  EXPECT_NE(said_of(with_peer(receiving(), peer)).find("10.0.0.7:8080 and 2 others to answer"),
            std::string::npos);
}

TEST(ExternalKill, NeverExcludesTheApplicationItself) {
  const auto said = [](int signal) { return decide(dead(signal)).because; };
  EXPECT_EQ(said(SIGKILL),
            "Not by this server: kill -9, an agent, or the application itself; the kernel's OOM "
            "counter did not move");
  for (const int timer : {SIGALRM, SIGVTALRM, SIGPROF}) {
    EXPECT_EQ(said(timer),
              "Not by this server: the application's own timer (alarm, setitimer) or another "
              "process");
  }
  EXPECT_EQ(said(SIGXCPU),
            "Not by this server: its limit of CPU time (ulimit -t) or another process");
  EXPECT_EQ(said(SIGXFSZ),
            "Not by this server: its limit of file size (ulimit -f) or another process");
  EXPECT_EQ(said(SIGUSR2), "Not by this server: another process, or the application itself");
  EXPECT_EQ(decide(dead(SIGSEGV, [](Death& d) { d.sender = 999; })).because,
            "From outside this server by pid 999");
}

TEST(Verdict, ADatabaseIsAskedForTheSessionWithOurPort) {
  const Verdict verdict = decide(with_peer(receiving(), tcp(5432)));
  EXPECT_NE(verdict.hint.find("pg_stat_activity WHERE client_port = 40000"), std::string::npos);
}

TEST(Verdict, ThePlaceIsTheApplicationsAndTheInnermostIsNamedToo) {
  const Verdict verdict = decide(
      with_stack(with_peer(receiving(), tcp(5432)), {package("psycopg/cursor.py"), app(203)}));
  EXPECT_EQ(verdict.place, "app.py:203");
  EXPECT_EQ(verdict.function, "view");
  EXPECT_EQ(verdict.innermost, "psycopg/cursor.py:7 execute");
  EXPECT_EQ(verdict.peer, "10.0.0.7:5432 (PostgreSQL)");
}

}  // namespace
}  // namespace tricorn::diagnose
