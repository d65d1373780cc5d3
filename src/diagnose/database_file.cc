#include "diagnose/database_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "diagnose/peer.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// The first of the words that lies in machine code of a file whose name starts so.
std::size_t first_inside(std::string_view maps, const std::vector<std::uint64_t>& stack,
                         std::string_view start, std::string_view other_start) {
  std::size_t first = stack.size();
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    const std::string_view name = mapping.file.substr(mapping.file.rfind('/') + 1);
    if (!mapping.executable || !(name.starts_with(start) || name.starts_with(other_start)))
      return true;
    const auto found = std::find_if(stack.begin(), stack.end(), [&](std::uint64_t word) {
      return word >= mapping.start && word < mapping.end;
    });
    first = std::min(first, static_cast<std::size_t>(found - stack.begin()));
    return true;
  });
  return first;
}

/// A file of the worker's that is locked. @param waiter  whose locks do not count
bool find_locked(int process, const std::string& locks, pid_t waiter, Peer& peer) {
  constexpr std::size_t kFilesMax = 4096;
  auto fds = numbers_in(process, "fd");
  if (fds.size() > kFilesMax) fds.resize(kFilesMax);
  for (const int fd : fds) {
    const std::string path = read_link(process, fmt::format("fd/{}", fd).c_str());
    if (!path.starts_with('/')) continue;
    const auto info = read_file(process, fmt::format("fdinfo/{}", fd).c_str());
    const auto inode = value_of(info.value_or(""), "ino");
    const pid_t holder = inode ? lock_holder(locks, *inode, waiter) : 0;
    if (holder == 0) continue;
    peer.address = database_of(path);
    peer.holder = holder;
    peer.fd = fd;
    return true;
  }
  return false;
}

}  // namespace

bool is_in_sqlite(std::string_view maps, const std::vector<std::uint64_t>& stack) {
  const std::size_t sqlite = first_inside(maps, stack, "libsqlite3", "_sqlite3");
  return sqlite < stack.size() && sqlite < first_inside(maps, stack, "libpython", "python");
}

Peer contended_database(int process) {
  Peer peer;
  peer.kind = Peer::Kind::File;
  peer.service = kSqlite;
  const std::string locks = read_file(AT_FDCWD, "/proc/locks").value_or("");
  const pid_t worker = pid_of(process);
  if (!find_locked(process, locks, worker, peer)) find_locked(process, locks, 0, peer);
  return peer;
}

std::string_view database_of(std::string_view file) {
  for (const std::string_view end : {"-shm", "-wal", "-journal"}) {
    if (file.ends_with(end)) return file.substr(0, file.size() - end.size());
  }
  return file;
}

}  // namespace tricorn::diagnose
