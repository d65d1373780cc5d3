// SQLite's wait for a lock: it sleeps and tries again, so that the kernel knows of no wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// Peer::service of a database file that SQLite waits for.
inline constexpr std::string_view kSqlite = "SQLite";

/// Whether a sleeping thread was put to sleep by SQLite: nearer to the system call than the
/// interpreter there are several return addresses into it. A Python function that SQL calls does
/// not count.
/// @param maps  text of /proc/PID/maps  @param stack  words from the stack pointer up
[[nodiscard]] bool is_in_sqlite(std::string_view maps, const std::vector<std::uint64_t>& stack);

/// The database a worker's SQLite waits for, and who has it locked: a File whose service is
/// kSqlite. Its address is empty when none of the worker's files is locked by anybody; the holder
/// is the worker itself when another of its own connections has the lock.
/// @param process  fd of the worker's /proc/PID
[[nodiscard]] Peer contended_database(int process);

/// The file that a worker has open and another process has locked; nothing when there is none, or
/// several. @param process  as above
[[nodiscard]] std::optional<Peer> contended_file(int process);

/// "/srv/shop.db" of "/srv/shop.db-shm", the file that holds the locks in WAL mode.
[[nodiscard]] std::string_view database_of(std::string_view file);

}  // namespace tricorn::diagnose
