#include "diagnose/database_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "diagnose/peer.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// Where the words lie in machine code of a file whose name starts so, in their order.
std::vector<std::size_t> inside(std::string_view maps, const std::vector<std::uint64_t>& stack,
                                std::string_view start, std::string_view other_start) {
  std::vector<std::size_t> found;
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    const std::string_view name = mapping.name();
    if (!mapping.executable || !(name.starts_with(start) || name.starts_with(other_start)))
      return true;
    for (std::size_t i = 0; i < stack.size(); ++i) {
      if (mapping.holds(stack[i])) found.push_back(i);
    }
    return true;
  });
  std::sort(found.begin(), found.end());
  return found;
}

/// The files of the worker that are locked. @param waiter  whose locks do not count
std::vector<Peer> locked_files(int process, pid_t waiter) {
  constexpr std::size_t kFilesMax = 4096;
  std::vector<Peer> found;
  const std::string locks = read_file(AT_FDCWD, "/proc/locks").value_or("");
  if (locks.empty()) return found;
  auto fds = numbers_in(process, "fd");
  if (fds.size() > kFilesMax) fds.resize(kFilesMax);
  for (const int fd : fds) {
    const std::string path = read_link(process, fmt::format("fd/{}", fd).c_str());
    if (!path.starts_with('/')) continue;
    const auto info = read_file(process, fmt::format("fdinfo/{}", fd).c_str());
    const auto inode = value_of(info.value_or(""), "ino");
    Peer file;
    file.kind = Peer::Kind::File;
    file.holder = inode ? lock_holder(locks, *inode, waiter) : 0;
    if (file.holder == 0) continue;
    file.address = path;
    file.fd = fd;
    found.push_back(std::move(file));
  }
  return found;
}

}  // namespace

// A frame keeps words of calls that have long returned: one alone is no proof. From its sleep up to
// sqlite3_step() there are at least four. Source: SQLite's unixSleep(),
// sqliteDefaultBusyCallback(), sqlite3BtreeBeginTrans(), sqlite3VdbeExec()
bool is_in_sqlite(std::string_view maps, const std::vector<std::uint64_t>& stack) {
  constexpr std::size_t kReturnsMin = 3;
  const auto sqlite = inside(maps, stack, "libsqlite3", "_sqlite3");
  const auto python = inside(maps, stack, "libpython", "python");
  return sqlite.size() >= kReturnsMin &&
         (python.empty() || sqlite[kReturnsMin - 1] < python.front());
}

Peer contended_database(int process) {
  auto files = locked_files(process, pid_of(process));
  if (files.empty()) files = locked_files(process, 0);
  Peer peer;
  peer.kind = Peer::Kind::File;
  if (!files.empty()) peer = std::move(files.front());
  peer.address = database_of(peer.address);
  peer.service = kSqlite;
  return peer;
}

std::optional<Peer> contended_file(int process) {
  const auto files = locked_files(process, pid_of(process));
  const auto same = [&](const Peer& file) { return file.address == files.front().address; };
  if (files.empty() || !std::all_of(files.begin(), files.end(), same)) return std::nullopt;
  return files.front();
}

std::string_view database_of(std::string_view file) {
  for (const std::string_view end : {"-shm", "-wal", "-journal"}) {
    if (file.ends_with(end)) return file.substr(0, file.size() - end.size());
  }
  return file;
}

}  // namespace tricorn::diagnose
