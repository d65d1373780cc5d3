// Memory trouble as kernels and platforms tell it, and which SIGKILL it explains.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/doctor/lives.h"
#include "control/doctor/scan.h"

namespace tricorn::control::doctor {

/// Victims of out-of-memory kills that are remembered.
inline constexpr std::size_t kVictimsMax = 65'536;
/// A kill and its report are at most so far apart when the pid tells nothing. Source:
/// doctor-format.md, section 4.
inline constexpr double kSameKillSeconds = 2.0;

/// One process the kernel says it killed for memory.
struct Victim {
  std::int64_t pid = -1;
  Mark mark;
  bool other_program = false;  ///< its name is one no worker has (mysqld, postgres, …)
  bool provisional = false;    ///< "Kill process N … or sacrifice child": a child may have died
  bool used = false;
  When before, after;  ///< of the neighbouring records in the file
  bool neighbours_known = false;
};

/// The victims of one file.
class Victims {
 public:
  /// Reads a line that may be the kernel's; @return whether it told of an out-of-memory kill.
  /// @param kernel  the wrapper says that the kernel wrote it
  bool read(std::string_view text, const Hits& hits, const Mark& mark, bool kernel);
  /// Every record with a time passes here, so that victims know their neighbours in the file.
  void note_record(const When& when);
  /// Notes what Tricorn tells of the kernel's counter.
  void note_told(std::int64_t pid, const Mark& mark);
  /// Notes a worker's pid: who has one is in the log's own namespace.
  void note_worker(std::int64_t pid);

  /// The unused victim that is `pid`; it is used then.
  Victim* take_by_pid(std::int64_t pid, const Mark& killed);
  /// An unused victim of another pid namespace killed within kSameKillSeconds of `killed`.
  Victim* take_by_time(const Mark& killed);

  [[nodiscard]] const std::vector<Victim>& all() const { return victims_; }
  [[nodiscard]] std::uint64_t distinct() const { return pids_.size() + beyond_; }
  [[nodiscard]] std::uint64_t last_line() const {
    return victims_.empty() ? 0 : victims_.back().mark.line;
  }

 private:
  void add(std::int64_t pid, const Mark& mark, std::string_view name, bool provisional);
  [[nodiscard]] bool at_one_time(const Victim& victim, const Mark& killed) const;

  std::vector<Victim> victims_;
  std::set<std::int64_t> pids_;
  std::set<std::int64_t> workers_;
  std::uint64_t beyond_ = 0;  ///< victims told of after kVictimsMax
  When last_record_;
  std::size_t open_from_ = 0;  ///< victims from here on lack their neighbour after
};

/// Whether the word MemoryError in `text` is an exception and no mention of one in code.
[[nodiscard]] bool tells_memory_error(std::string_view text, const Hits& hits);

}  // namespace tricorn::control::doctor
