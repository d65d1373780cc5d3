// From a blocked system call to whom it waits for: arguments -> descriptor -> socket, pipe, file.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/python_stack.h"

namespace tricorn::diagnose {

/// Most descriptors of one poll, select or epoll that are looked up. Source: our bound.
inline constexpr std::size_t kPolledMax = 64;

/// Descriptors a system call waits on. Empty when it waits on none.
/// @param process  fd of /proc/PID
[[nodiscard]] std::vector<int> descriptors_of(const ThreadLook& look, const Memory& memory,
                                              int process);

/// The file a thread is opening, by the path it has given; nothing when it opens none.
[[nodiscard]] std::optional<Peer> opened_file(const ThreadLook& look, const Memory& memory);

/// What listens on a TCP port of this machine, by the name of its program: "PostgreSQL" ...; empty:
/// not on this machine, not readable, or not a program we know. Reads /proc of all processes.
[[nodiscard]] std::string_view service_of_listener(const Peer& peer);

/// Whether the far end of a worker's connection is a socket that this server listens on, which is
/// one that the caller, the arbiter, has as well: the application may listen on some of its own.
/// @param process  fd of the worker's /proc/PID
[[nodiscard]] bool is_this_server(int process, const Peer& peer);

/// The sockets that listen on a peer's port, where the peer is on this machine: the connection's
/// other half is in the same table. @param tables  of /proc/net/tcp and tcp6  @return inodes
[[nodiscard]] std::vector<std::uint64_t> listeners_behind(std::string_view tables,
                                                          const Peer& peer);

/// What the descriptor `fd` of a process is connected to. Nothing when it cannot be read.
[[nodiscard]] std::optional<Peer> peer_of_descriptor(int process, int fd);

/// Of several peers the one to report: TCP and UDP with a far end first.
[[nodiscard]] std::optional<Peer> choose_peer(std::vector<Peer> peers);

/// The youngest look whose serving thread is blocked in a system call, else the last one: a thread
/// that waits may be seen as it wakes for a moment. @param looks  not empty
[[nodiscard]] const ProcessLook& youngest_blocked(const std::vector<ProcessLook>& looks);

/// Finds a socket in the text of /proc/net/tcp, tcp6, udp or udp6. Source: Linux
/// Documentation/networking/proc_net_tcp.rst
/// @return nothing when the inode is not in it
[[nodiscard]] std::optional<Peer> find_inet_socket(std::string_view table, std::uint64_t inode,
                                                   Peer::Kind kind);

/// "127.0.0.1" or "[::1]" from the kernel's hexadecimal words; IPv4 in IPv6 is shown as IPv4.
[[nodiscard]] std::string address_from_hex(std::string_view hex);

/// The path a thread gives to connect(2); empty: it does not connect, or not to a unix socket's.
/// Until it is in the backlog, the kernel does not know the connection.
[[nodiscard]] std::string connected_path(const ThreadLook& look, const Memory& memory);

/// Who holds the lock on a file, from the text of /proc/locks. 0 when nobody is found.
/// @param waiter  the process that waits; its own entries count only where flock(2) made them, by
/// another descriptor, and nobody else has one
[[nodiscard]] pid_t lock_holder(std::string_view locks, std::uint64_t inode, pid_t waiter);

/// The far end with most local ports in use towards it, TIME_WAIT included: such a port is not free
/// either.
/// @param tables  of /proc/net/tcp and tcp6  @param range  text of ip_local_port_range
[[nodiscard]] std::optional<PortUse> busiest_far_end(std::string_view tables,
                                                     std::string_view range);

/// What usually listens there: "PostgreSQL", "Redis" ...; empty when the port says nothing.
[[nodiscard]] std::string_view service_of_port(std::uint16_t port);
/// What a client library in C talks to, when it is among the callers of a blocked system call: its
/// code has return addresses on the stack. Empty: none of those that are known.
/// @param maps  text of /proc/PID/maps  @param stack  words from the stack pointer up
[[nodiscard]] std::string_view service_of_callers(std::string_view maps,
                                                  const std::vector<std::uint64_t>& stack);
/// What is talked to at the path of a unix socket; empty: not known.
[[nodiscard]] std::string_view service_of_path(std::string_view path);
/// The libraries in C among the callers of a blocked system call, as service_of_callers() finds
/// them; without the interpreter's, the C library and this server's. Paths point into `maps`.
[[nodiscard]] std::set<std::string_view> libraries_of_callers(
    std::string_view maps, const std::vector<std::uint64_t>& stack);
/// The socket at the other end of a connection, where that is in the same table; 0: it is not.
/// @param table  text of /proc/PID/net/tcp or tcp6
[[nodiscard]] std::uint64_t inode_of_far_end(std::string_view table, const Peer& peer);

}  // namespace tricorn::diagnose
