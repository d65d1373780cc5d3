#include "diagnose/verdict.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <csignal>
#include <functional>
#include <string>
#include <string_view>

#include "diagnose/rules.h"
#include "diagnose/testing/causes.h"
#include "diagnose/testing/evidences.h"

namespace tricorn::diagnose {
namespace {

using Decide = CauseTest;

TEST_P(Decide, NamesTheCause) { expect_cause(); }

const Row kDeaths[] = {
    {"oom", dead(SIGKILL, [](Death& d) { d.after.oom_kill = 4; }), "memory.oom_kill"},
    {"oom_of_another",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 4;
            d.oom_blamed = 1;
          }),
     "signal.external_kill"},
    {"two_oom_kills_for_two",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 5;
            d.oom_blamed = 1;
          }),
     "memory.oom_kill"},
    {"counter_stood", dead(SIGKILL), "signal.external_kill"},
    {"counter_rose_but_it_was_us",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 4;
            d.ours = true;
          }),
     "signal.own_kill"},
    {"oom_is_never_another_signal", dead(SIGTERM, [](Death& d) { d.after.oom_kill = 4; }),
     "signal.external_kill"},
    {"unreadable_counter", dead(SIGKILL, [](Death& d) { d.before.oom_kill.reset(); }),
     "signal.external_kill"},
    {"host_oom",
     dead(SIGKILL,
          [](Death& d) {
            d.before.oom_kill.reset();
            d.before.host_oom_kill = 1;
            d.after.host_oom_kill = 2;
          }),
     "memory.oom_kill"},
    {"host_oom_elsewhere",
     dead(SIGKILL,
          [](Death& d) {
            d.before.host_oom_kill = 1;
            d.after.host_oom_kill = 2;
          }),
     "signal.external_kill"},
    {"segv", dead(SIGSEGV | 0x80, [](Death& d) { d.crash_signal = SIGSEGV; }), "crash.segv"},
    {"segv_sent",
     dead(SIGSEGV,
          [](Death& d) {
            d.crash_signal = SIGSEGV;
            d.sender = 999;
          }),
     "signal.external_kill"},
    {"bus", dead(SIGBUS, [](Death& d) { d.crash_signal = SIGBUS; }), "crash.bus"},
    {"ill", dead(SIGILL, [](Death& d) { d.crash_signal = SIGILL; }), "crash.ill"},
    {"fpe", dead(SIGFPE, [](Death& d) { d.crash_signal = SIGFPE; }), "crash.fpe"},
    {"abort",
     dead(SIGABRT,
          [](Death& d) {
            d.crash_signal = SIGABRT;
            d.sender = 42;
          }),
     "crash.abort"},
    {"abort_by_us", dead(SIGABRT, [](Death& d) { d.ours = true; }), "signal.own_kill"},
    {"overflow",
     dead(SIGSEGV,
          [](Death& d) {
            d.crash_signal = SIGSEGV;
            d.stack_overflow = true;
          }),
     "crash.stack_overflow"},
    {"exit", dead(exited(7)), "exit.code"},
    {"exit_in_boot", dead(exited(3), [](Death& d) { d.was_ready = false; }), "boot.failure"},
    {"import_error_in_boot",
     dead(exited(3),
          [](Death& d) {
            d.was_ready = false;
            d.boot_error = "RuntimeError: no";
            d.boot_stack = {{"/srv/app/site.py", "load", 8}};
          }),
     "boot.failure"},
    {"oom_in_boot",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 4;
            d.was_ready = false;
          }),
     "memory.oom_kill"},
    {"usr_signal", dead(SIGUSR2), "signal.external_kill"},
    {"oom_that_the_kernel_names",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 4;
            d.had_children = true;
            d.oom_victims = {{42, "tricorn-worker"}, {51, "convert"}};
          }),
     "memory.oom_kill"},
    {"oom_of_a_child_by_the_kernels_word",
     dead(SIGKILL,
          [](Death& d) {
            d.after.oom_kill = 4;
            d.oom_victims = {{51, "convert"}};
          }),
     "signal.external_kill"},
};
INSTANTIATE_TEST_SUITE_P(Death, Decide, testing::ValuesIn(kDeaths), named);

TEST(BootFailure, NamesTheApplicationsLine) {
  Evidence evidence = dead(exited(3), [](Death& d) {
    d.was_ready = false;
    d.boot_stack = {{"/usr/lib/python3.11/importlib/__init__.py", "import_module", 126},
                    {"/srv/app/site.py", "load", 8}};
  });
  EXPECT_TRUE(decide(evidence).place.ends_with("site.py:8")) << decide(evidence).place;
  evidence.death->boot_stack.pop_back();
  EXPECT_EQ(decide(evidence).place, "");
}

/// Asleep in page faults, with so many of them a second.
Evidence paging(std::uint64_t faults_per_s, std::uint64_t hits_per_look) {
  return each_look(burning(14), [=](ProcessLook& look, std::size_t i) {
    look.threads[0].state = i == 1 ? 'R' : 'D';
    look.threads[0].wchan = i == 1 ? "" : "folio_wait_bit_common";
    look.threads[0].major_faults = i * faults_per_s / 4;
    look.cgroup.memory_hits = i * hits_per_look;
  });
}

Evidence near_limit(Evidence evidence, std::uint64_t mib) {
  return each_look(std::move(evidence), [mib](ProcessLook& look, std::size_t) {
    look.virtual_bytes = mib << 20;
    look.address_space_limit = 1000 << 20;
  });
}

/// Sleeps a little, tries, sleeps again.
Evidence retrying() {
  return each_look(sleeping(), [](ProcessLook& look, std::size_t i) {
    look.threads[0].switches = static_cast<std::int64_t>(i) * 5;
  });
}

Evidence with_refusals(Evidence evidence) {
  return each_look(std::move(evidence),
                   [](ProcessLook& look, std::size_t i) { look.cgroup.pids_denied = i; });
}

const Row kResources[] = {
    {"paging_at_the_limit", paging(40, 5), "memory.pressure"},
    {"paging_of_what_was_there_before",
     each_look(paging(5, 0), [](ProcessLook& l, std::size_t i) { l.cgroup.refaults = i * 9000; }),
     "memory.pressure"},
    {"paging_without_a_limit", paging(40, 0), "wait.disk"},
    {"address_space_full", near_limit(retrying(), 990), "memory.limit"},
    {"address_space_left", near_limit(retrying(), 900), "wait.sleep"},
    {"address_space_full_and_asleep", near_limit(sleeping(), 990), "wait.sleep"},
    {"stopped", watched(thread('T', SYS_recvfrom)), "signal.stopped"},
    {"traced", watched(thread('t', SYS_recvfrom)), "signal.stopped"},
    {"stopped_once_only",
     each_look(sleeping(),
               [](ProcessLook& l, std::size_t i) {
                 if (i == 1) l.threads[0].state = 'T';
               }),
     "wait.sleep"},
    {"frozen",
     each_look(watched(thread('D', SYS_clock_nanosleep)),
               [](ProcessLook& l, std::size_t) { l.cgroup.frozen = true; }),
     "signal.stopped"},
    {"paging_beside_neighbours_who_have_the_cpu",
     each_look(burning(20, 50),
               [](ProcessLook& l, std::size_t i) {
                 l.threads[0].major_faults = i * 4;
                 l.cgroup.refaults = i * 60'000;
               }),
     "memory.pressure"},
    {"computing_while_others_page",
     each_look(burning(100), [](ProcessLook& l, std::size_t i) { l.cgroup.refaults = i * 60'000; }),
     "cpu.native_gil"},
    {"thrashing",
     each_look(burning(50),
               [](ProcessLook& l, std::size_t i) { l.threads[0].major_faults = i * 2000; }),
     "memory.pressure"},
    {"few_faults",
     each_look(burning(100),
               [](ProcessLook& l, std::size_t i) { l.threads[0].major_faults = i * 20; }),
     "cpu.native_gil"},
    {"throttled",
     each_look(burning(5, 95),
               [](ProcessLook& l, std::size_t i) {
                 l.cgroup.periods = i * 3;
                 l.cgroup.throttled = i * 3;
               }),
     "cpu.throttled"},
    {"starved",
     each_look(burning(4, 96),
               [](ProcessLook& l, std::size_t i) {
                 l.cgroup.periods = i * 3;
                 l.cgroup.throttled = 0;
               }),
     "cpu.starved"},
    {"starved_at_threshold", burning(25, 75), "cpu.starved"},
    {"starved_all_the_time", burning(0, 0), "cpu.starved"},
    {"shared_cpu_is_not_starved", burning(26, 74), "cpu.native_gil"},
    {"descriptors_full", each_look(sleeping(), [](ProcessLook& l, std::size_t) { l.fds = 1024; }),
     "fd.exhaustion"},
    {"descriptors_nearly_full",
     each_look(sleeping(), [](ProcessLook& l, std::size_t) { l.fds = 1000; }), "wait.sleep"},
    {"processes_refused", with_refusals(retrying()), "pids.exhaustion"},
    {"processes_refused_at_a_start",
     with_stack(with_refusals(sleeping()), {library("threading.py", "Thread.start"), app()}),
     "pids.exhaustion"},
    {"processes_refused_to_others", with_refusals(sleeping()), "wait.sleep"},
    {"ports_used_up", with_ports(sleeping(), 90), "net.port_exhaustion"},
    {"ports_left", with_ports(sleeping(), 89), "wait.sleep"},
    {"processes_refused_long_ago",
     each_look(sleeping(), [](ProcessLook& l, std::size_t) { l.cgroup.pids_denied = 9; }),
     "wait.sleep"},
};
INSTANTIATE_TEST_SUITE_P(Resources, Decide, testing::ValuesIn(kResources), named);

Evidence in_phase(Evidence evidence, heartbeat::Phase phase) {
  evidence.phase = phase;
  return each_look(std::move(evidence),
                   [phase](ProcessLook& look, std::size_t) { look.phase = phase; });
}

Evidence streaming(std::int64_t silent_ms) {
  Evidence evidence = each_look(
      sleeping(), [](ProcessLook& look, std::size_t i) { look.bytes_out = (i + 1) * 100; });
  evidence.silent_ns = silent_ms * kMs;
  return evidence;
}

Evidence many_calls(std::uint16_t port, int switches) {
  return each_look(with_peer(receiving(), tcp(port)), [switches](ProcessLook& look, std::size_t i) {
    look.threads[0].switches = static_cast<std::int64_t>(i) * switches;
  });
}

Peer nameless() {
  Peer peer;
  peer.kind = Peer::Kind::Unix;
  return peer;
}

/// Waits for a peer, after seconds in a lock that was given back between the looks.
/// @param switches  since then
Evidence after_a_lock(int switches) {
  Evidence evidence = many_calls(80, 0);
  for (const std::int64_t before_ns : {2300 * kMs, 1500 * kMs}) {
    ProcessLook sample = evidence.looks.front();
    sample.at_ns -= before_ns;
    evidence.samples.push_back(sample);
  }
  for (std::size_t i = 1; i < evidence.looks.size(); ++i)
    evidence.looks[i].threads[0].switches = switches;
  return evidence;
}

const Row kClients[] = {
    {"upload", in_phase(receiving(), heartbeat::Phase::ReadingBody), "client.slow_upload"},
    {"read", in_phase(locked(), heartbeat::Phase::Writing), "client.slow_read"},
    {"stream", streaming(400), "timeout.too_short"},
    {"stream_that_stalled", streaming(2000), "wait.sleep"},
    {"many_calls", many_calls(80, 4), "timeout.too_short"},
    {"many_calls_of_which_one_has_just_been_answered",
     with_peer(many_calls(80, 4), tcp(80, "CLOSE_WAIT")), "timeout.too_short"},
    {"many_calls_of_which_one_is_just_connecting", with_peer(many_calls(80, 4), nameless()),
     "timeout.too_short"},
    {"one_call", many_calls(80, 0), "wait.network"},
    {"a_lock_given_back_as_it_was_looked_at", after_a_lock(2), "wait.network"},
    {"many_calls_after_a_lock_of_seconds", after_a_lock(8), "wait.network"},
};
INSTANTIATE_TEST_SUITE_P(Client, Decide, testing::ValuesIn(kClients), named);

ThreadLook gil_waiter() {
  ThreadLook look = thread('S', SYS_futex, {0x100, kPrivateWait, 0, 0x7ffe});
  look.waits_for_gil = true;
  return look;
}

const Row kWaits[] = {
    {"sleep", sleeping(), "wait.sleep"},
    {"select_without_descriptors", watched(thread('S', SYS_pselect6, {0})), "wait.sleep"},
    {"network", with_peer(receiving(), tcp(8080)), "wait.network"},
    {"network_by_poll", with_peer(watched(thread('S', SYS_ppoll, {1, 1})), tcp(8080)),
     "wait.network"},
    {"database_by_port", with_peer(receiving(), tcp(5432)), "wait.database"},
    {"database_by_driver",
     with_stack(with_peer(receiving(), tcp(9999)), {package("redis/connection.py"), app()}),
     "wait.database"},
    {"driver_of_a_caller",
     with_stack(with_peer(receiving(), tcp(9999)), {app(), package("redis/client.py")}),
     "wait.network"},
    {"connect", watched(thread('S', SYS_connect, {6})), "wait.connect"},
    {"syn_sent", with_peer(watched(thread('S', SYS_ppoll, {1, 1})), tcp(443, "SYN_SENT")),
     "wait.connect"},
    {"connect_to_database",
     with_peer(watched(thread('S', SYS_ppoll, {1, 1})), tcp(5432, "SYN_SENT")), "wait.connect"},
    {"dns_by_port", with_peer(watched(thread('S', SYS_ppoll, {1, 1})), tcp(53)), "wait.dns"},
    {"dns_by_frame",
     with_stack(watched(thread('S', SYS_ppoll, {1, 1})),
                {library("socket.py", "getaddrinfo"), app()}),
     "wait.dns"},
    {"child", watched(thread('S', SYS_wait4)), "wait.subprocess"},
    {"child_by_pipe",
     with_child(with_stack(with_peer(receiving(), of_kind(Peer::Kind::Pipe)),
                           {library("subprocess.py", "Popen._communicate"), app()})),
     "wait.subprocess"},
    {"child_by_sleep",
     with_child(with_stack(sleeping(), {library("subprocess.py", "Popen._wait"), app()})),
     "wait.subprocess"},
    {"sleep_beside_a_child", with_child(sleeping()), "wait.sleep"},
    {"pipe", with_peer(watched(thread('S', SYS_write, {1})), of_kind(Peer::Kind::Pipe)),
     "wait.pipe"},
    {"file_lock", watched(thread('S', SYS_flock, {6})), "wait.file_lock"},
    {"disk", with_peer(watched(thread('D', SYS_write, {6})), of_kind(Peer::Kind::File, "/mnt/x")),
     "wait.disk"},
    {"sync", watched(thread('D', SYS_fsync, {6})), "wait.disk"},
    {"client_socket_is_no_upstream",
     with_peer(receiving(),
               [] {
                 Peer peer = tcp(80);
                 peer.client = true;
                 return peer;
               }()),
     "client.slow_upload"},
    {"lock", beside(locked(), thread('S', SYS_clock_nanosleep)), "wait.lock"},
    {"lock_shared_with_others", locked(kSharedWait), "wait.lock"},
    {"deadlock", locked(), "wait.deadlock"},
    {"deadlock_of_two", beside(locked(), thread('S', SYS_futex, {0x7f0020, kPrivateWait})),
     "wait.deadlock"},
    {"lock_with_limit", watched(thread('S', SYS_futex, {0x7f0010, kPrivateWait, 0, 0x7ffe})),
     "wait.lock"},
    {"lock_beside_a_busy_thread", beside(locked(), thread('R', -1)), "wait.lock"},
    {"event", with_stack(locked(), {library("threading.py", "Event.wait"), app()}), "wait.lock"},
    {"lock_of_another_thread", held_by_other(locked(), thread('S', SYS_clock_nanosleep)),
     "wait.lock"},
    {"lock_of_a_thread_that_waits_for_ours",
     [] {
       Evidence evidence = held_by_other(locked(), thread('S', SYS_futex, {0x9, kPrivateWait}));
       evidence.lock_waits.push_back({2, 0x600, "_thread.RLock", 1});
       return beside(std::move(evidence), thread('R', -1));
     }(),
     "wait.deadlock"},
    {"lock_that_it_holds_itself",
     [] {
       Evidence evidence = held_by_other(locked(), thread('R', -1));
       evidence.lock_waits[0].holder = 1;
       return evidence;
     }(),
     "wait.deadlock"},
    {"queue_in_c",
     [] {
       Evidence evidence = held_by_other(locked(), thread('R', -1));
       evidence.lock_waits[0] = {1, 0x500, "_queue.SimpleQueue", 0};
       return evidence;
     }(),
     "wait.queue"},
    {"thread_that_is_joined",
     [] {
       Evidence evidence = held_by_other(locked(), thread('S', SYS_recvfrom, {9}));
       evidence.lock_waits.clear();
       evidence.delegate = Delegate{2, tcp(8080)};
       return evidence;
     }(),
     "wait.network"},
    {"timer_of_an_event_loop",
     with_peer(watched(thread('S', SYS_epoll_pwait, {3, 0, 1, 60000})), own_pair()), "wait.sleep"},
    {"event_loop_without_a_timer",
     with_peer(watched(thread('S', SYS_epoll_pwait, {3, 0, 1, UINT64_MAX})), own_pair()),
     "wait.lock"},
    {"named_pipe",
     with_peer(
         [] {
           ThreadLook opens = thread('S', SYS_openat, {0, 0x7000});
           opens.wchan = "wait_for_partner";
           return watched(opens);
         }(),
         of_kind(Peer::Kind::File, "/run/orders.fifo")),
     "wait.pipe"},
    {"rename_on_a_dead_disk",
     with_peer(watched(thread('D', SYS_renameat2, {0, 0x7000})),
               of_kind(Peer::Kind::File, "/mnt/x")),
     "wait.disk"},
    {"fifo",
     with_peer(watched(thread('S', SYS_write, {9})), of_kind(Peer::Kind::Pipe, "/run/audit.fifo")),
     "wait.pipe"},
    {"event_descriptor",
     with_peer(watched(thread('S', SYS_read, {9})),
               of_kind(Peer::Kind::Other, "anon_inode:[eventfd]")),
     "wait.lock"},
    {"file_watch",
     with_peer(watched(thread('S', SYS_read, {9})),
               of_kind(Peer::Kind::Other, "anon_inode:inotify")),
     "unknown"},
    {"sqlite", with_peer(sleeping(), sqlite_file(0)), "wait.file_lock"},
    {"terminal",
     with_peer(watched(thread('S', SYS_read, {0})), end_of(0, "/dev/pts/3", Peer::Kind::File)),
     "wait.pipe"},
    {"listener", with_peer(watched(thread('S', SYS_accept4, {6})), tcp(0, "LISTEN")),
     "wait.network"},
    {"sigwait", watched(thread('S', SYS_rt_sigtimedwait)), "wait.sleep"},
    {"queue",
     with_stack(locked(), {library("threading.py", "Condition.wait"),
                           library("queue.py", "Queue.get"), app()}),
     "wait.queue"},
    {"gil", watched(gil_waiter()), "wait.gil"},
    {"epoll_on_nothing_known", watched(thread('S', SYS_epoll_pwait, {3})), "unknown"},
};
INSTANTIATE_TEST_SUITE_P(Wait, Decide, testing::ValuesIn(kWaits), named);

TEST(Verdict, NeverGuessesWithoutEvidence) {
  const Verdict verdict = decide(Evidence{});
  EXPECT_EQ(verdict.cause, Cause::Unknown);
  EXPECT_EQ(verdict.because, "0 looks taken, 2 needed");
}

TEST(Verdict, OfAClientThatReadsTooSlowlyNoLineOfOursIsThePlace) {
  const Verdict verdict = decide(in_phase(
      with_stack(locked(), {{"/srv/lib/python3.11/site-packages/tricorn/boot.py", "run", 176}}),
      heartbeat::Phase::Writing));
  EXPECT_EQ(verdict.cause, Cause::ClientSlowRead);
  EXPECT_EQ(verdict.place, "");
}

TEST(Verdict, ABootThatHangsSaysWhatItHangsIn) {
  Evidence evidence = sleeping();
  evidence.life = heartbeat::Life::Booting;
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.cause, Cause::BootSlow);
  EXPECT_NE(verdict.because.find("wait.sleep"), std::string::npos);
  EXPECT_EQ(verdict.place, "app.py:10");
}

TEST(Verdict, TheHolderOfALockIsNamedWithItsLine) {
  const Verdict verdict = decide(held_by_other(locked(), thread('S', SYS_clock_nanosleep)));
  EXPECT_EQ(verdict.place, "app.py:10");
  EXPECT_NE(verdict.because.find("(held by thread 101 at app.py:77 in view, which sleeps)"),
            std::string::npos)
      << verdict.because;
}

TEST(Verdict, OfWorkDoneByAnotherThreadThatThreadsLineIsThePlace) {
  Evidence evidence = held_by_other(locked(), thread('S', SYS_recvfrom, {9}));
  evidence.delegate = Delegate{2, tcp(8080)};
  const Verdict verdict = decide(evidence);
  EXPECT_EQ(verdict.place, "app.py:77");
  EXPECT_EQ(verdict.peer, "10.0.0.7:8080");
  EXPECT_NE(verdict.because.find("in thread 101"), std::string::npos) << verdict.because;
}

TEST(Verdict, WaitingForTheGilThePlaceIsTheHoldersLine) {
  ThreadLook holder = thread('R', -1);
  holder.tid = 101;
  holder.has_gil = true;
  holder.stack = {app(77)};
  Evidence evidence = beside(watched(gil_waiter()), holder);
  EXPECT_EQ(decide(evidence).place, "app.py:77");
  ProcessLook& last = evidence.looks.back();  // it has just let go
  last.threads.front().waits_for_gil = last.threads.back().has_gil = false;
  last.threads.front().has_gil = true;
  EXPECT_EQ(decide(evidence).place, "app.py:77");
}

TEST(Verdict, OfADeathThePlaceIsTheLastSample) {
  Evidence evidence = dead(SIGKILL);
  evidence.samples = sleeping().looks;
  EXPECT_EQ(decide(evidence).place, "app.py:10");
}

TEST(Verdict, OutOfMemoryIsSaidOnlyWhenTheCounterRose) {
  for (const Row& row : kDeaths) {
    const Verdict verdict = decide(row.evidence);
    const bool says_memory = verdict.because.find("ut of memory") != std::string::npos;
    EXPECT_EQ(says_memory, verdict.cause == Cause::MemoryOomKill) << row.name;
  }
}

TEST(Verdict, WaitsAreAnsweredWith504AndLimitsWith503) {
  EXPECT_EQ(status_of(Cause::WaitDatabase), 504);
  EXPECT_EQ(status_of(Cause::FdExhaustion), 503);
  EXPECT_EQ(status_of(Cause::ClientSlowUpload), 408);
  EXPECT_EQ(status_of(Cause::CpuPython), 500);
  EXPECT_EQ(status_of(Cause::CrashSegv), 500);
}

}  // namespace
}  // namespace tricorn::diagnose
