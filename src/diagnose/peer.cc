#include "diagnose/peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/unique_fd.h"
#include "diagnose/procfs.h"
#include "diagnose/syscalls.h"
#include "diagnose/unix_peer.h"

namespace tricorn::diagnose {
namespace {

std::vector<int> polled(const ThreadLook& look, const Memory& memory) {
  std::vector<pollfd> entries(std::min<std::size_t>(look.args[1], kPolledMax));
  std::vector<int> fds;
  if (!memory.read(look.args[0], entries.data(), entries.size() * sizeof(pollfd))) return fds;
  for (const pollfd& entry : entries) {
    if (entry.fd >= 0) fds.push_back(entry.fd);
  }
  return fds;
}

std::vector<int> selected(const ThreadLook& look, const Memory& memory) {
  std::vector<int> fds;
  const auto count = static_cast<int>(std::min<std::uint64_t>(look.args[0], FD_SETSIZE));
  for (std::size_t set = 1; set <= 3; ++set) {
    fd_set bits;
    FD_ZERO(&bits);
    const std::size_t bytes = (static_cast<std::size_t>(count) + 63) / 64 * 8;
    if (look.args[set] == 0 || !memory.read(look.args[set], &bits, bytes)) continue;
    for (int fd = 0; fd < count && fds.size() < kPolledMax; ++fd) {
      if (FD_ISSET(fd, &bits)) fds.push_back(fd);
    }
  }
  return fds;
}

/// The descriptors an epoll watches. Source: proc_pid_fdinfo(5), "tfd:"
std::vector<int> watched(int process, std::uint64_t epoll) {
  std::vector<int> fds;
  const auto info = read_file(process, fmt::format("fdinfo/{}", epoll).c_str());
  each_line(info ? std::string_view(*info) : std::string_view(), [&](std::string_view line) {
    if (line.starts_with("tfd:")) fds.push_back(static_cast<int>(number_from(line.substr(4))));
    return fds.size() < kPolledMax;
  });
  return fds;
}

/// State column of /proc/net/tcp. Source: Linux include/net/tcp_states.h
std::string_view tcp_state(std::uint64_t number) {
  static constexpr std::array<std::string_view, 13> kNames = {
      "",      "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",   "TIME_WAIT",
      "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV"};
  return number < kNames.size() ? kNames[number] : "";
}

std::uint16_t port_of(std::string_view end) {
  return static_cast<std::uint16_t>(number_from(end.substr(end.find(':') + 1), 16));
}

Peer inet_peer(const std::vector<std::string_view>& fields, Peer::Kind kind) {
  Peer peer;
  peer.kind = kind;
  peer.port = port_of(fields[2]);
  peer.local_port = port_of(fields[1]);
  const bool listens = peer.port == 0;
  const std::string_view end = listens ? fields[1] : fields[2];
  peer.address = fmt::format("{}:{}", address_from_hex(end.substr(0, end.find(':'))), port_of(end));
  if (kind == Peer::Kind::Tcp) peer.state = tcp_state(number_from(fields[3], 16));
  peer.retransmits = static_cast<unsigned>(number_from(fields[6], 16));
  peer.service = service_of_port(peer.port);
  return peer;
}

/// Whether a process has a socket open.
bool has_socket(int process, std::uint64_t inode) {
  constexpr std::size_t kLooksMax = 4096;
  const std::string wanted = fmt::format("socket:[{}]", inode);
  auto fds = numbers_in(process, "fd");
  if (fds.size() > kLooksMax) fds.resize(kLooksMax);
  return std::any_of(fds.begin(), fds.end(), [&](int fd) {
    return read_link(process, fmt::format("fd/{}", fd).c_str()) == wanted;
  });
}

std::optional<Peer> socket_peer(int process, std::uint64_t inode) {
  using Table = std::pair<const char*, Peer::Kind>;
  for (const auto& [path, kind] :
       {Table{"net/tcp", Peer::Kind::Tcp}, Table{"net/tcp6", Peer::Kind::Tcp},
        Table{"net/udp", Peer::Kind::Udp}, Table{"net/udp6", Peer::Kind::Udp}}) {
    const auto table = read_file(process, path);
    auto peer = table ? find_inet_socket(*table, inode, kind) : std::nullopt;
    if (!peer) continue;
    // A pair over the loopback device wakes an event loop too, as pika's.
    const std::uint64_t far = kind == Peer::Kind::Tcp ? inode_of_far_end(*table, *peer) : 0;
    peer->internal = far != 0 && has_socket(process, far);
    return peer;
  }
  const UnixPeer far = unix_peer(inode);
  Peer peer;
  peer.kind = Peer::Kind::Unix;
  peer.address = far.path;
  peer.service = service_of_path(peer.address);
  peer.internal = far.path.empty() && far.inode != 0 && has_socket(process, far.inode);
  return peer;
}

/// The socket that listens on a TCP port of our network namespace; 0: none.
std::uint64_t listening_inode(std::uint16_t port) {
  constexpr std::size_t kState = 3;
  constexpr std::size_t kInode = 9;
  std::uint64_t inode = 0;
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    each_line(read_file(AT_FDCWD, table).value_or(""), [&](std::string_view line) {
      const auto fields = fields_of(line, kInode + 1);
      if (fields.size() <= kInode || fields[kState] != "0A" || port_of(fields[1]) != port)
        return true;
      inode = number_from(fields[kInode]);
      return false;
    });
  }
  return inode;
}

/// Type of the mount a descriptor's file is on. Asks /proc only: a call on the file itself could
/// hang with the file system that is being diagnosed.
std::string filesystem_of(int process, std::uint64_t mount) {
  std::string type;
  each_line(read_file(process, "mountinfo").value_or(""), [&](std::string_view line) {
    const std::size_t dash = line.find(" - ");
    if (number_from(line) != mount || dash == std::string_view::npos) return true;
    const auto fields = fields_of(line.substr(dash + 3), 1);
    if (!fields.empty()) type = fields[0];
    return false;
  });
  return type;
}

/// Whether a descriptor is of a named pipe. Asks only where the answer is in memory: elsewhere the
/// question could hang with the file system.
bool is_named_pipe(int process, int fd, std::string_view filesystem) {
  static constexpr auto kLocal = std::to_array<std::string_view>(
      {"tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "overlay"});
  if (std::find(kLocal.begin(), kLocal.end(), filesystem) == kLocal.end()) return false;
  struct stat status {};
  return ::fstatat(process, fmt::format("fd/{}", fd).c_str(), &status, 0) == 0 &&
         S_ISFIFO(status.st_mode);
}

Peer file_peer(int process, int fd, const std::string& path) {
  Peer peer;
  peer.kind = Peer::Kind::File;
  peer.address = path;
  const std::string info = read_file(process, fmt::format("fdinfo/{}", fd).c_str()).value_or("");
  peer.filesystem = filesystem_of(process, value_of(info, "mnt_id").value_or(0));
  if (is_named_pipe(process, fd, peer.filesystem)) {
    peer.kind = Peer::Kind::Pipe;
    return peer;
  }
  if (const auto inode = value_of(info, "ino")) {
    const pid_t self = pid_of(process);
    peer.holder = lock_holder(read_file(AT_FDCWD, "/proc/locks").value_or(""), *inode, self);
  }
  return peer;
}

Peer plain_peer(Peer::Kind kind, std::string address) {
  Peer peer;
  peer.kind = kind;
  peer.address = std::move(address);
  return peer;
}

Peer process_peer(int process, int fd) {
  const auto info = read_file(process, fmt::format("fdinfo/{}", fd).c_str());
  const auto pid = value_of(info.value_or(""), "Pid");
  return plain_peer(Peer::Kind::Process, fmt::format("pid {}", pid.value_or(0)));
}

std::optional<Peer> resolve(int process, int fd) {
  const std::string link = fmt::format("fd/{}", fd);
  const std::string target = read_link(process, link.c_str());
  constexpr std::string_view kSocket = "socket:[";
  if (target.empty()) return std::nullopt;
  if (target.starts_with(kSocket))
    return socket_peer(process, number_from(target.substr(kSocket.size())));
  if (target.starts_with("pipe:")) return plain_peer(Peer::Kind::Pipe, target);
  if (target == "anon_inode:[pidfd]") return process_peer(process, fd);
  if (target.starts_with('/')) return file_peer(process, fd, target);
  return plain_peer(Peer::Kind::Other, target);
}

/// From the next one on it is nobody else that is waited for: our own sockets.
constexpr int kRankLastKnown = 4;

int rank(const Peer& peer) {
  switch (peer.kind) {
    case Peer::Kind::Tcp:
    case Peer::Kind::Udp:
      return peer.port != 0 && !peer.internal ? 0 : 5;
    case Peer::Kind::Process:
      return 1;
    case Peer::Kind::Unix:
      return peer.internal ? 5 : peer.address.empty() ? 4 : 2;
    case Peer::Kind::Pipe:
      return 3;
    case Peer::Kind::File:
      return 3;
    case Peer::Kind::Other:
      return 6;
  }
  return 7;
}

}  // namespace

std::vector<int> descriptors_of(const ThreadLook& look, const Memory& memory, int process) {
  switch (call_of(look.syscall, look.args[1])) {
    case Call::Receive:
    case Call::Send:
    case Call::Connect:
    case Call::Accept:
    case Call::FileLock:
    case Call::Sync:
      return {static_cast<int>(look.args[0])};
    case Call::Poll:
      return polled(look, memory);
    case Call::Select:
      return selected(look, memory);
    case Call::Epoll:
      return watched(process, look.args[0]);
    case Call::None:
    case Call::Sleep:
    case Call::Futex:
    case Call::WaitChild:
    case Call::Signal:
    case Call::Open:
    case Call::Other:
      return {};
  }
  return {};
}

std::optional<Peer> peer_of_descriptor(int process, int fd) {
  auto peer = resolve(process, fd);
  if (peer) peer->fd = fd;
  return peer;
}

std::optional<Peer> opened_file(const ThreadLook& look, const Memory& memory) {
  if (call_of(look.syscall, look.args[1]) != Call::Open) return std::nullopt;
  std::array<char, 512> path{};
  const std::uint64_t address = path_argument(look.syscall, look.args);
  // It may lie near the end of its page.
  std::size_t bytes = path.size();
  while (bytes > 0 && !memory.read(address, path.data(), bytes)) bytes /= 2;
  if (bytes == 0) return std::nullopt;
  return plain_peer(Peer::Kind::File, std::string(path.data(), ::strnlen(path.data(), bytes)));
}

std::string connected_path(const ThreadLook& look, const Memory& memory) {
  if (call_of(look.syscall, look.args[1]) != Call::Connect) return {};
  sockaddr_un address{};
  const std::size_t bytes = std::min<std::size_t>(look.args[2], sizeof address);
  constexpr std::size_t kPathAt = offsetof(sockaddr_un, sun_path);
  if (bytes <= kPathAt || !memory.read(look.args[1], &address, bytes)) return {};
  if (address.sun_family != AF_UNIX) return {};
  const std::string_view name(address.sun_path, bytes - kPathAt);
  if (name[0] == '\0') return "@" + std::string(name.substr(1));
  return std::string(name.substr(0, name.find('\0')));
}

std::string_view service_of_listener(const Peer& peer) {
  // Names of programs as /proc/PID/comm has them.
  using Program = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Program, 7> kPrograms = {{{"postgres", "PostgreSQL"},
                                                        {"redis-server", "Redis"},
                                                        {"valkey-server", "Redis"},
                                                        {"mysqld", "MySQL"},
                                                        {"mariadbd", "MySQL"},
                                                        {"mongod", "MongoDB"},
                                                        {"memcached", "memcached"}}};
  if (peer.kind != Peer::Kind::Tcp) return "";
  if (!peer.address.starts_with("127.") && !peer.address.starts_with("[::1]")) return "";
  const std::uint64_t inode = listening_inode(peer.port);
  const base::UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (inode == 0 || !proc.valid()) return "";
  for (const int pid : numbers_in(proc.get(), ".")) {
    const auto comm = read_file(proc.get(), fmt::format("{}/comm", pid).c_str());
    const std::string_view name = comm ? std::string_view(*comm).substr(0, comm->find('\n')) : "";
    const auto known =
        std::find_if(kPrograms.begin(), kPrograms.end(),
                     [name](const Program& program) { return program.first == name; });
    if (known == kPrograms.end()) continue;
    const base::UniqueFd process(
        ::openat(proc.get(), std::to_string(pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (process.valid() && has_socket(process.get(), inode)) return known->second;
  }
  return "";
}

bool is_this_server(int process, const Peer& peer) {
  if (peer.kind != Peer::Kind::Tcp || peer.port == 0) return false;
  const std::string tables =
      read_file(process, "net/tcp").value_or("") + read_file(process, "net/tcp6").value_or("");
  const auto inodes = listeners_behind(tables, peer);
  if (inodes.empty()) return false;
  const base::UniqueFd arbiter = open_process(::getpid());
  return std::any_of(inodes.begin(), inodes.end(),
                     [&](std::uint64_t inode) { return has_socket(arbiter.get(), inode); });
}

std::vector<std::uint64_t> listeners_behind(std::string_view tables, const Peer& peer) {
  constexpr std::size_t kState = 3;
  constexpr std::size_t kInode = 9;
  std::vector<std::uint64_t> listeners;
  bool is_here = false;
  each_line(tables, [&](std::string_view line) {
    const auto fields = fields_of(line, kInode + 1);
    if (fields.size() <= kInode || port_of(fields[1]) != peer.port) return true;
    if (fields[kState] == "0A") listeners.push_back(number_from(fields[kInode]));
    const std::string_view host = fields[1].substr(0, fields[1].find(':'));
    is_here = is_here || (port_of(fields[2]) == peer.local_port &&
                          fmt::format("{}:{}", address_from_hex(host), peer.port) == peer.address);
    return true;
  });
  if (!is_here) listeners.clear();
  return listeners;
}

std::uint64_t inode_of_far_end(std::string_view table, const Peer& peer) {
  constexpr std::size_t kInode = 9;
  std::uint64_t inode = 0;
  if (peer.port == 0) return 0;
  each_line(table, [&](std::string_view line) {
    const auto fields = fields_of(line, kInode + 1);
    if (fields.size() <= kInode || port_of(fields[1]) != peer.port ||
        port_of(fields[2]) != peer.local_port)
      return true;
    const std::string_view host = fields[1].substr(0, fields[1].find(':'));
    if (fmt::format("{}:{}", address_from_hex(host), peer.port) != peer.address) return true;
    inode = number_from(fields[kInode]);
    return false;
  });
  return inode;
}

std::set<std::string_view> libraries_of_callers(std::string_view maps,
                                                const std::vector<std::uint64_t>& stack) {
  // Below every C frame lie those of the interpreter and of this server.
  static constexpr auto kEverywhere =
      std::to_array<std::string_view>({"libc.", "libc-", "libpthread", "libpython", "python", "ld-",
                                       "libm.", "libstdc++", "libgcc_s", "_core."});
  std::set<std::string_view> libraries;
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    if (!mapping.executable || !mapping.file.starts_with('/')) return true;
    const std::string_view name = mapping.name();
    const bool everywhere =
        std::any_of(kEverywhere.begin(), kEverywhere.end(),
                    [&](std::string_view known) { return name.starts_with(known); });
    const bool called = std::any_of(stack.begin(), stack.end(),
                                    [&](std::uint64_t word) { return mapping.holds(word); });
    if (called && !everywhere) libraries.insert(mapping.file);
    return true;
  });
  return libraries;
}

std::optional<Peer> choose_peer(std::vector<Peer> peers) {
  const auto by_rank = [](const Peer& left, const Peer& right) { return rank(left) < rank(right); };
  const auto best = std::min_element(peers.begin(), peers.end(), by_rank);
  if (best == peers.end()) return std::nullopt;
  std::set<int> others;  // a descriptor may be in several sets of one select
  for (const Peer& peer : peers) {
    if (peer.fd != best->fd && rank(peer) <= kRankLastKnown && !peer.client) others.insert(peer.fd);
  }
  Peer chosen = std::move(*best);
  chosen.others = static_cast<unsigned>(others.size());
  return chosen;
}

const ProcessLook& youngest_blocked(const std::vector<ProcessLook>& looks) {
  const auto blocked = std::find_if(looks.rbegin(), looks.rend(), [](const ProcessLook& look) {
    return !look.threads.empty() && look.threads[0].syscall >= 0;
  });
  return blocked == looks.rend() ? looks.back() : *blocked;
}

std::optional<Peer> find_inet_socket(std::string_view table, std::uint64_t inode, Peer::Kind kind) {
  constexpr std::size_t kInode = 9;
  const std::string wanted = fmt::format(" {} ", inode);
  std::optional<Peer> found;
  each_line(table, [&](std::string_view line) {
    if (line.find(wanted) == std::string_view::npos) return true;
    const auto fields = fields_of(line, kInode + 1);
    if (fields.size() <= kInode || number_from(fields[kInode]) != inode) return true;
    found = inet_peer(fields, kind);
    return false;
  });
  return found;
}

std::string address_from_hex(std::string_view hex) {
  std::array<std::uint32_t, 4> words{};
  const std::size_t count = std::min<std::size_t>(hex.size() / 8, words.size());
  for (std::size_t i = 0; i < count; ++i) {
    words[i] =
        static_cast<std::uint32_t>(number_from(hex.substr(i * 8, 8), 16));  // as they lie in memory
  }
  char text[INET6_ADDRSTRLEN] = "";
  const bool mapped = count == 4 && words[0] == 0 && words[1] == 0 && words[2] == htonl(0xFFFF);
  if (count == 1 || mapped) return ::inet_ntop(AF_INET, &words[mapped ? 3 : 0], text, sizeof text);
  if (count < 4) return {};
  return fmt::format("[{}]", ::inet_ntop(AF_INET6, words.data(), text, sizeof text));
}

std::optional<PortUse> busiest_far_end(std::string_view tables, std::string_view range) {
  const auto bounds = fields_of(range, 2);
  if (bounds.size() < 2) return std::nullopt;
  const std::uint64_t low = number_from(bounds[0]);
  const std::uint64_t high = number_from(bounds[1]);
  std::unordered_map<std::string_view, std::uint64_t> used;
  each_line(tables, [&](std::string_view line) {
    const auto fields = fields_of(line, 3);
    if (fields.size() < 3 || fields[1].find(':') == std::string_view::npos) return true;
    const std::uint16_t local = port_of(fields[1]);
    if (port_of(fields[2]) != 0 && local >= low && local <= high) ++used[fields[2]];
    return true;
  });
  const auto fewer = [](const auto& left, const auto& right) { return left.second < right.second; };
  const auto most = std::max_element(used.begin(), used.end(), fewer);
  if (most == used.end() || high < low) return std::nullopt;
  const std::string_view end = most->first;
  return PortUse{fmt::format("{}:{}", address_from_hex(end.substr(0, end.find(':'))), port_of(end)),
                 most->second, high - low + 1};
}

pid_t lock_holder(std::string_view locks, std::uint64_t inode, pid_t waiter) {
  pid_t own = 0;
  // "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF"; a waiter's line has "->" behind the number.
  pid_t holder = 0;
  each_line(locks, [&](std::string_view line) {
    const auto fields = fields_of(line, 6);
    if (fields.size() < 6 || fields[1] == "->") return true;
    const auto pid = static_cast<pid_t>(number_from(fields[4]));
    if (number_from(fields[5].substr(fields[5].rfind(':') + 1)) != inode) return true;
    if (pid == waiter) {
      if (fields[1] == "FLOCK") own = pid;
      return true;
    }
    holder = pid;
    return false;
  });
  return holder != 0 ? holder : own;
}

std::string_view service_of_port(std::uint16_t port) {
  // Source: IANA service names; MongoDB and memcached by their own defaults
  switch (port) {
    case 53:
      return "DNS";
    case 1433:
      return "SQL Server";
    case 1521:
      return "Oracle";
    case 3306:
      return "MySQL";
    case 5432:
    case 6432:
      return "PostgreSQL";  // 6432: PgBouncer
    case 5672:
      return "RabbitMQ";
    case 6379:
      return "Redis";
    case 9042:
      return "Cassandra";
    case 9092:
      return "Kafka";
    case 9200:
      return "Elasticsearch";
    case 11211:
      return "memcached";
    case 27017:
      return "MongoDB";
    default:
      return "";
  }
}

std::string_view service_of_callers(std::string_view maps,
                                    const std::vector<std::uint64_t>& stack) {
  // psycopg2, mysqlclient and their like wait inside C code, so no Python frame names the driver.
  using Library = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Library, 6> kLibraries = {{{"libpq", "PostgreSQL"},
                                                         {"libmysqlclient", "MySQL"},
                                                         {"libmariadb", "MySQL"},
                                                         {"libmemcached", "memcached"},
                                                         {"libclntsh", "Oracle"},
                                                         {"libsybdb", "SQL Server"}}};
  std::string_view service;
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    if (!mapping.executable) return true;
    const std::string_view name = mapping.name();
    const auto known =
        std::find_if(kLibraries.begin(), kLibraries.end(),
                     [&](const Library& library) { return name.starts_with(library.first); });
    if (known == kLibraries.end()) return true;
    const auto inside = [&](std::uint64_t word) { return mapping.holds(word); };
    if (std::any_of(stack.begin(), stack.end(), inside)) service = known->second;
    return service.empty();
  });
  return service;
}

std::string_view service_of_path(std::string_view path) {
  if (path.find(".s.PGSQL.") != std::string_view::npos) return "PostgreSQL";
  if (path.find("mysql") != std::string_view::npos) return "MySQL";
  if (path.find("redis") != std::string_view::npos) return "Redis";
  if (path.find("mongodb") != std::string_view::npos) return "MongoDB";
  if (path.find("memcached") != std::string_view::npos) return "memcached";
  return "";
}

}  // namespace tricorn::diagnose
