// What may be said: ids, counts, the lines that prove them, and the words for people.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/doctor/lives.h"

namespace tricorn::control::doctor {

/// Lines that prove one finding, at most. Source: doctor-format.md, section 1.
inline constexpr std::size_t kProofLinesMax = 20;
/// Distinct paths kept, for facts and for one finding.
inline constexpr std::size_t kPathsMax = 1'000;
/// Distinct findings (an exception's class is a log's own word).
inline constexpr std::size_t kFindingsMax = 256;

struct Facts {
  std::uint64_t timeouts = 0;
  std::uint64_t sigkills = 0;
  std::uint64_t own_after_timeout = 0;
  std::uint64_t own_at_shutdown = 0;
  std::uint64_t oom = 0;
  std::uint64_t unexplained = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t boots = 0;
  std::uint64_t worker_exits = 0;
  std::uint64_t distinct_workers = 0;
  std::set<std::string> paths;
  std::optional<std::int64_t> startup_timeout;
  std::string stack_line;
  bool memory_evidence = false;
  bool boot_loop = false;
  std::uint64_t request_timeouts = 0;  ///< requests that Tricorn ended, their workers spared
  std::uint64_t clients_cut = 0;       ///< connections that Tricorn cut: the client was too slow
};

struct Finding {
  std::string id;
  std::uint64_t count = 0;
  std::set<std::uint64_t> lines;
  bool certain = true;
  std::uint64_t denied =
      0;  ///< of possible_oom: SIGKILLs that were not for memory, as Tricorn says
  When first, last;
  std::map<std::string, std::uint64_t> paths;   ///< of requests that took too long
  std::map<std::string, std::uint64_t> causes;  ///< Tricorn's classes that led to it
  std::string detail;                           ///< an example for people: a place, a command

  /// Adds a line to the proof, and its time; nothing when the mark has none or there are enough.
  void prove(const Mark& mark);
};

class Findings {
 public:
  /// Counts `count` more of `id`, proved by `proof` (marks without a line are left out).
  Finding& add(std::string_view id, std::initializer_list<Mark> proof, std::uint64_t count = 1);
  [[nodiscard]] bool has(std::string_view id) const { return found_.find(id) != found_.end(); }
  void remove(std::string_view id);
  /// In the order of doctor-format.md; `no_problem` when there are none.
  [[nodiscard]] std::vector<const Finding*> in_order() const;
  [[nodiscard]] bool empty() const { return found_.empty(); }

 private:
  std::map<std::string, Finding, std::less<>> found_;
};

/// What to do about a finding, one or two sentences.
[[nodiscard]] std::string advice_of(const Finding& finding, const Facts& facts);

/// A finding's name for people: "killed by Gunicorn itself after a time-out".
[[nodiscard]] std::string title_of(const Finding& finding);

}  // namespace tricorn::control::doctor
