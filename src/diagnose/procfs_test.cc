#include "diagnose/procfs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <algorithm>
#include <cstring>
#include <vector>
#include "base/unique_fd.h"

#include <string>

#include "diagnose/cgroup.h"
#include "diagnose/peer.h"

namespace tricorn::diagnose {
namespace {

TEST(Procfs, AThreadNameMayHoldBracketsAndBlanks) {
  ThreadLook look;
  parse_stat("42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 77 0 5 3 0 0 20 0", look);
  EXPECT_EQ(look.name, "a) b (c");
  EXPECT_EQ(look.state, 'S');
  EXPECT_EQ(look.major_faults, 77U);
}

TEST(Procfs, TheSyscallFileHasThreeForms) {
  ThreadLook running, fault, blocked;
  parse_syscall("running\n", running);
  EXPECT_TRUE(running.running);
  EXPECT_EQ(running.syscall, -1);
  parse_syscall("-1 0x7ffd10 0x7f44\n", fault);
  EXPECT_EQ(fault.syscall, -1);
  EXPECT_EQ(fault.pc, 0x7f44U);
  parse_syscall("45 0x5 0x7f01 0x1000 0x0 0x0 0x2a 0x7ffd10 0x7f45\n", blocked);
  EXPECT_EQ(blocked.syscall, 45);
  EXPECT_EQ(blocked.args[0], 5U);
  EXPECT_EQ(blocked.args[5], 0x2aU);
  EXPECT_EQ(blocked.pc, 0x7f45U);
}

TEST(Procfs, SchedstatGivesTimeOnTheCpuAndWaitingForIt) {
  ThreadLook look;
  parse_schedstat("1520000000 48000000 317\n", look);
  EXPECT_EQ(look.cpu_ns, 1'520'000'000);
  EXPECT_EQ(look.run_delay_ns, 48'000'000);
  EXPECT_EQ(look.slices, 317);
}

TEST(Procfs, WhatIsNotThereStaysUnknown) {
  ThreadLook look;
  parse_stat("", look);
  parse_schedstat("", look);
  parse_syscall("", look);
  EXPECT_EQ(look.state, '?');
  EXPECT_EQ(look.cpu_ns, -1);
  EXPECT_EQ(look.syscall, -1);
  EXPECT_FALSE(look.running);
}

TEST(Procfs, StatusGivesMemoryTracerAndThreads) {
  ProcessLook look;
  parse_status(
      "Name:\tpython\nTracerPid:\t17\nVmRSS:\t    2048 kB\nVmSwap:\t       4 kB\nThreads:\t3\n",
      look);
  EXPECT_EQ(look.rss_bytes, 2048U * 1024);
  EXPECT_EQ(look.swap_bytes, 4U * 1024);
  EXPECT_EQ(look.tracer, 17);
  EXPECT_EQ(look.thread_count, 3);
}

TEST(Procfs, AProcessWithAPendingSigkillIsDying) {
  const char* stat = "42 (w) R 1 42 42 0 -1 4194304 0";
  EXPECT_FALSE(is_dying(stat, "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"));
  EXPECT_TRUE(is_dying(stat, "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"));
  EXPECT_TRUE(is_dying("42 (w) R 1 42 42 0 -1 4194308 0", "SigPnd:\t0\nShdPnd:\t0\n"));
  EXPECT_TRUE(is_dying("", "")) << "already gone";
}

constexpr std::string_view kMaps =
    "7f00-7f10 r-xp 00000000 08:01 12   /usr/lib/libc.so.6\n"
    "100000-110000 ---p 00000000 00:00 0 \n"
    "110000-900000 rw-p 00000000 00:00 0 \n";

TEST(Procfs, NamesTheModuleOfAnInstruction) {
  EXPECT_EQ(module_at(kMaps, 0x7f04), "libc.so.6");
  EXPECT_EQ(module_at(kMaps, 0x7f10), "");
}

TEST(Procfs, AnAddressInTheGuardBelowTheStackIsAnOverflow) {
  EXPECT_TRUE(is_stack_overflow(kMaps, 0x10fff8, 0x10fff8));
  EXPECT_FALSE(is_stack_overflow(kMaps, 0x10fff8, 0x500000)) << "the stack pointer is elsewhere";
  EXPECT_FALSE(is_stack_overflow(kMaps, 0, 0x110100)) << "a null pointer";
  EXPECT_FALSE(is_stack_overflow(kMaps, 0x120000, 0x120000)) << "inside of the stack";
}

// Recorded on a hybrid machine: v1 controllers and v2 beside them.
constexpr std::string_view kMountinfo =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(Cgroup, InAHybridTheV1HierarchyHasTheController) {
  const auto mounts = parse_cgroup_mounts(kMountinfo);
  const auto place = find_cgroup(mounts, "4:memory:/web/a\n1:cpu,cpuacct:/\n0::/\n", "memory");
  EXPECT_FALSE(place.unified);
  EXPECT_EQ(place.directory, "/sys/fs/cgroup/memory/web/a");
  EXPECT_EQ(place.top, "/sys/fs/cgroup/memory");
  EXPECT_EQ(find_cgroup(mounts, "1:cpu,cpuacct:/\n", "cpu").directory, "/sys/fs/cgroup/cpu");
}

TEST(Cgroup, WithoutV1TheUnifiedHierarchyIsTaken) {
  const auto mounts = parse_cgroup_mounts("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  const auto place = find_cgroup(mounts, "0::/system.slice/web.service\n", "memory");
  EXPECT_TRUE(place.unified);
  EXPECT_EQ(place.directory, "/sys/fs/cgroup/system.slice/web.service");
}

TEST(Cgroup, AContainerSeesItsOwnGroupAsTheMountsRoot) {
  const auto mounts = parse_cgroup_mounts(
      "30 23 0:26 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  EXPECT_EQ(find_cgroup(mounts, "4:memory:/docker/ab\n", "memory").directory,
            "/sys/fs/cgroup/memory");
}

TEST(Cgroup, WithoutAMountThereIsNoPlace) {
  EXPECT_EQ(find_cgroup({}, "0::/\n", "memory").directory, "");
}

constexpr std::string_view kTcp =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "1649 1 0 100 0 0 10 0\n"
    "   1: 0100007F:C001 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 "
    "2000 1 0 20 4 30 10 -1\n"
    "   2: 0100007F:C002 0700000A:01BB 02 00000001:00000000 01:00000032 00000002     0        0 "
    "2001 2 0 100 0 0 1 7\n";

TEST(Peer, OfAnInodeIsTheFarEnd) {
  const auto peer = find_inet_socket(kTcp, 2000, Peer::Kind::Tcp);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->address, "127.0.0.1:5432");
  EXPECT_EQ(peer->service, "PostgreSQL");
  EXPECT_EQ(peer->state, "ESTABLISHED");
  EXPECT_EQ(peer->local_port, 0xC001);
}

TEST(Peer, ASynWithoutAnswerShowsItsRetransmits) {
  const auto peer = find_inet_socket(kTcp, 2001, Peer::Kind::Tcp);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->address, "10.0.0.7:443");
  EXPECT_EQ(peer->state, "SYN_SENT");
  EXPECT_EQ(peer->retransmits, 2U);
}

// A server on port 8000 of all addresses, a connection to it from here, and one from elsewhere.
constexpr std::string_view kOwnServer =
    "   0: 00000000:1F40 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 "
    "3000 1 0 100 0 0 10 0\n"
    "   1: 0100007F:1F40 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 "
    "0 1 0 20 4 30 10 -1\n"
    "   2: 0700000A:1F40 0900000A:C002 01 00000000:00000000 00:00000000 00000000     0        0 "
    "3001 1 0 20 4 30 10 -1\n";

TEST(Peer, IsThisServerOnlyWhereTheOtherHalfOfTheConnectionIsHere) {
  Peer peer;
  peer.kind = Peer::Kind::Tcp;
  peer.address = "127.0.0.1:8000";
  peer.port = 8000;
  peer.local_port = 0xC001;
  EXPECT_EQ(listeners_behind(kOwnServer, peer), std::vector<std::uint64_t>{3000});
  peer.local_port = 0xC003;
  EXPECT_TRUE(listeners_behind(kOwnServer, peer).empty());
  peer.local_port = 0xC002;  // another machine's port 8000
  peer.address = "10.0.0.8:8000";
  EXPECT_TRUE(listeners_behind(kOwnServer, peer).empty());
}

TEST(Peer, AnInodeIsNotFoundInAnotherColumn) {
  EXPECT_FALSE(find_inet_socket(kTcp, 100, Peer::Kind::Tcp));
  EXPECT_FALSE(find_inet_socket(kTcp, 200, Peer::Kind::Tcp));
}

TEST(Peer, AClientLibraryOnTheStackNamesTheService) {
  constexpr std::string_view maps =
      "5000-6000 r--p 00000000 08:01 9 /x/psycopg2_binary.libs/libpq-9b38f5e3.so.5.17\n"
      "6000-8000 r-xp 00000000 08:01 9 /x/psycopg2_binary.libs/libpq-9b38f5e3.so.5.17\n";
  EXPECT_EQ(service_of_callers(maps, {1, 0x6100}), "PostgreSQL");
  EXPECT_EQ(service_of_callers(maps, {1, 0x5100}), "") << "loaded, but not among the callers";
}

TEST(Peer, LibrariesAmongTheCallersAreTheirOwnOnly) {
  constexpr std::string_view kLoaded =
      "1000-2000 r-xp 00000000 00:01 1 /usr/lib/libc.so.6\n"
      "2000-3000 r-xp 00000000 00:01 2 /venv/grpc/cygrpc.cpython-311-x86_64-linux-gnu.so\n"
      "3000-4000 rw-p 00000000 00:01 2 /venv/grpc/cygrpc.cpython-311-x86_64-linux-gnu.so\n"
      "4000-5000 r-xp 00000000 00:01 3 /venv/tricorn/_core.cpython-311-x86_64-linux-gnu.so\n"
      "5000-6000 r-xp 00000000 00:00 0 [vdso]\n";
  const auto found = libraries_of_callers(kLoaded, {0x1100, 0x2100, 0x4100, 0x5100});
  EXPECT_EQ(found,
            (std::set<std::string_view>{"/venv/grpc/cygrpc.cpython-311-x86_64-linux-gnu.so"}));
  EXPECT_TRUE(libraries_of_callers(kLoaded, {0x1100, 0x3100}).empty());
}

TEST(Peer, TheFarEndOfAConnectionIsFoundWhereItIsHere) {
  constexpr std::string_view kPair =
      "   1: 0100007F:1F40 0100007F:C001 01 00000000:00000000 00:00000000 00000000 0 0 71 1\n"
      "   2: 0100007F:C001 0100007F:1F40 01 00000000:00000000 00:00000000 00000000 0 0 72 1\n";
  const auto near = find_inet_socket(kPair, 72, Peer::Kind::Tcp);
  ASSERT_TRUE(near);
  EXPECT_EQ(inode_of_far_end(kPair, *near), 71U);
  EXPECT_EQ(inode_of_far_end(kPair.substr(kPair.find("   2:")), *near), 0U);
}

TEST(Peer, APairOfTheWorkersOwnIsNotWhomACallWaitsFor) {
  Peer own;
  own.kind = Peer::Kind::Tcp;
  own.port = 51568;
  own.internal = true;
  own.fd = 4;
  Peer broker = own;
  broker.internal = false;
  broker.port = 5672;
  broker.fd = 9;
  const auto chosen = choose_peer({own, broker});
  EXPECT_EQ(chosen->port, 5672);
  EXPECT_EQ(chosen->others, 0U);
}

TEST(Peer, PortsAreCountedForTheBusiestFarEnd) {
  const std::string again =
      "   3: 0100007F:C003 0100007F:1538 06 00000000:00000000 00:00000000 00000000 0 0 0 3 0\n";
  const auto use = busiest_far_end(std::string(kTcp) + again, "32768\t60999\n");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->address, "127.0.0.1:5432");
  EXPECT_EQ(use->used, 2U);
  EXPECT_EQ(use->range, 60999U - 32768 + 1);
  EXPECT_FALSE(busiest_far_end(kTcp, "50000\t60000\n")) << "other local ports do not count";
}

TEST(Peer, AddressesOfIpv6AreBracketedAndMappedOnesAreIpv4) {
  EXPECT_EQ(address_from_hex("00000000000000000000000001000000"), "[::1]");
  EXPECT_EQ(address_from_hex("0000000000000000FFFF00000100007F"), "127.0.0.1");
  EXPECT_EQ(address_from_hex("0100007F"), "127.0.0.1");
}

TEST(Peer, TheHolderOfALockIsNotTheOneWhoWaits) {
  constexpr std::string_view kLocks =
      "1: FLOCK  ADVISORY  WRITE 500 08:01:77 0 EOF\n"
      "1: -> FLOCK  ADVISORY  WRITE 600 08:01:77 0 EOF\n"
      "2: POSIX  ADVISORY  WRITE 700 08:01:78 0 EOF\n";
  EXPECT_EQ(lock_holder(kLocks, 77, 600), 500);
  EXPECT_EQ(lock_holder(kLocks, 79, 600), 0);
  EXPECT_EQ(lock_holder(kLocks, 78, 700), 0) << "a process does not lock itself out by fcntl";
}

TEST(Peer, OfFlockTheOneWhoWaitsMayBeTheHolderToo) {
  constexpr std::string_view kLocks =
      "1: FLOCK  ADVISORY  WRITE 600 08:01:77 0 EOF\n"
      "1: -> FLOCK  ADVISORY  WRITE 600 08:01:77 0 EOF\n";
  EXPECT_EQ(lock_holder(kLocks, 77, 600), 600);
}

/// This process's own memory.
class OwnMemory final : public Memory {
 public:
  bool read(std::uint64_t address, void* into, std::size_t bytes) const override {
    std::memcpy(into, reinterpret_cast<const void*>(address), bytes);  // NOLINT: an address of ours
    return true;
  }
};

TEST(Peer, TheSocketThatIsConnectedToIsInTheCallsArguments) {
  const auto connecting = [](const auto& address, std::size_t bytes) {
    ThreadLook look;
    look.syscall = SYS_connect;
    look.args = {6, reinterpret_cast<std::uint64_t>(&address), bytes};
    return connected_path(look, OwnMemory());
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, "/run/app.sock", 13);
  EXPECT_EQ(connecting(address, sizeof address), "/run/app.sock");
  EXPECT_EQ(connecting(address, sizeof(sa_family_t)), "");
  std::memcpy(address.sun_path, "\0bus", 4);
  EXPECT_EQ(connecting(address, sizeof(sa_family_t) + 4), "@bus");
  address.sun_family = AF_INET;
  EXPECT_EQ(connecting(address, sizeof address), "");
}

TEST(Peer, AConnectionIsPreferredToAPipeAndAFile) {
  Peer pipe, tcp, file;
  pipe.kind = Peer::Kind::Pipe;
  file.kind = Peer::Kind::File;
  tcp.kind = Peer::Kind::Tcp;
  tcp.port = 80;
  EXPECT_EQ(choose_peer({pipe, tcp, file})->kind, Peer::Kind::Tcp);
  EXPECT_FALSE(choose_peer({}));
}

TEST(Peer, IsLookedForWhereTheThreadIsBlocked) {
  std::vector<ProcessLook> looks(3);
  for (ProcessLook& look : looks) look.threads.resize(1);
  EXPECT_EQ(&youngest_blocked(looks), &looks[2]) << "it never is";
  looks[0].threads[0].syscall = looks[1].threads[0].syscall = SYS_recvfrom;
  EXPECT_EQ(&youngest_blocked(looks), &looks[1]);
}

TEST(Peer, TheOthersOfOneCallAreCountedOnce) {
  const auto upstream = [](int fd) {
    Peer peer;
    peer.kind = Peer::Kind::Tcp;
    peer.port = 80;
    peer.fd = fd;
    return peer;
  };
  Peer own_socket;  // the end of a pair that wakes the loop
  own_socket.kind = Peer::Kind::Unix;
  own_socket.internal = true;
  own_socket.fd = 9;
  EXPECT_EQ(choose_peer({upstream(5), upstream(6), upstream(6), own_socket})->others, 1U);
  EXPECT_EQ(choose_peer({upstream(5), upstream(5)})->others, 0U);
}

TEST(ReadFile, ReadsATableOfManyPagesWithoutGrowingBeyondIt) {
  // /proc/self/maps-like files come a page at a time; one that is long enough is made of sockets.
  std::vector<base::UniqueFd> sockets;
  for (int i = 0; i < 400; ++i) {
    sockets.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  const auto text = read_file(AT_FDCWD, "/proc/self/net/unix");
  ASSERT_TRUE(text.has_value());
  EXPECT_GE(std::count(text->begin(), text->end(), '\n'), 400);
  EXPECT_LT(text->capacity(), 16 * text->size());
}

TEST(Procfs, ChildrenThatWereWaitedForShowInTheFaults) {
  const std::string head = "7 (x) Z 1 7 7 0 -1 4227084 900 ";
  EXPECT_FALSE(has_waited_for_children(head + "0 3 0 1 2"));
  EXPECT_TRUE(has_waited_for_children(head + "12 3 0 1 2"));
  EXPECT_FALSE(has_waited_for_children(""));
}

}  // namespace
}  // namespace tricorn::diagnose
