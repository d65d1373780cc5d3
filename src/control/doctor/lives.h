// Who lived when: sources, arbiter runs and worker identities, told apart as doctor-format rules.
// A worker's identity is (source, arbiter run, pid); a boot line of a pid that had ended begins a
// new one.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/doctor/record.h"
#include "control/doctor/stamp.h"

namespace tricorn::control::doctor {

/// Identities kept at a time; the oldest are judged with what is known and let go beyond it.
inline constexpr std::size_t kLivesMax = 60'000;
/// Sources and arbiter runs told apart; what is beyond shares the last one.
inline constexpr std::size_t kSourcesMax = 2'048;
inline constexpr std::size_t kRunsMax = 100'000;
/// Paths of failed requests kept of one worker.
inline constexpr std::size_t kPathsOfLifeMax = 16;
/// First boots of a run within this many seconds are as many slots. Source: doctor-format.md, 4.
inline constexpr double kFirstBootsSeconds = 2.0;

/// A line that matters: its number (0 none) and its time.
struct Mark {
  std::uint64_t line = 0;
  When when;
  explicit operator bool() const { return line != 0; }
};

using LifeId = std::uint64_t;  ///< grows with each life, never used again
inline constexpr LifeId kNobody = 0;

struct Life {
  LifeId id = kNobody;
  std::uint32_t source = 0;
  std::uint32_t run = 0;
  bool run_certain = false;  ///< an arbiter's record named it
  std::int64_t pid = -1;
  std::uint64_t first_line = 0;
  Mark boot, timeout, leaving, killed, abort, signalled, exited, request, replaced;
  int exit_code = 0;
  int signal = 0;
  bool started = false;  ///< finished start-up
  bool no_uri = false;
  bool autorestart = false;
  bool reload = false;  ///< ended by HUP
  bool boot_failed = false;
  bool own_told = false;  ///< Tricorn said that it sent the SIGKILL …
  bool own_after_timeout_told = false;
  bool kernel_oom_told = false;
  bool oom_denied = false;      ///< Tricorn said that the kernel's counter did not rise for it
  bool cause_told = false;      ///< Tricorn, or a dump, named the cause of its time-out
  bool dumped = false;          ///< a dump was taken for its
  bool slow_boot_told = false;  ///< Tricorn said that its boot takes too long
  bool h12 = false;             ///< an H12 within 60 s of its time-out on its dyno
  std::uint64_t h12_line = 0;
  std::uint64_t service_at_boot = 0;  ///< the source's count of access lines then …
  std::uint64_t service_at_end = 0;   ///< … and when its end was first told
  LifeId previous = kNobody;          ///< whom it replaced in its slot
  int chain = 1;                      ///< boots of the slot, each with a silent death before
  std::uint64_t stop_line = 0;        ///< of the stop signal to its run before its end
  std::uint64_t kill_stop_line = 0;   ///< of the stop signal to its run before its SIGKILL
  std::vector<std::string> paths;

  /// Anything told its end: a time-out, leaving, any end.
  [[nodiscard]] bool ended() const {
    return timeout || leaving || killed || signalled || exited || abort;
  }
};

struct Run {
  std::uint32_t source = 0;
  std::int64_t arbiter = -1;
  std::uint64_t start_line = 0;  ///< of "Starting gunicorn"; 0 when it isn't in the log
  Mark stop;                     ///< last stop signal
  Mark first_boot;
  std::uint32_t boots = 0;
  int extra_slots = 0;       ///< ttin not yet answered by a boot
  int unseen_ends = 0;       ///< ends of workers whose boot isn't in the log
  bool just_booted = false;  ///< the last record of the run was a boot
  std::vector<LifeId> slots;
  std::vector<LifeId> old_slots;  ///< of the run before: the first boots replace them
};

class Lives {
 public:
  /// Called with a life that is let go, in the order of boots.
  using Judge = void (*)(void* self, Life& life);
  Lives(Judge judge, void* self) : judge_(judge), self_(self) {}

  /// The number of a source's name.
  std::uint32_t source(std::string_view name);

  /// A new arbiter run begins.
  void start(std::uint32_t source, std::int64_t arbiter, std::uint64_t line);
  /// Notes that `arbiter` is an arbiter's pid; @return its run.
  std::uint32_t run_of_arbiter(std::uint32_t source, std::int64_t arbiter);
  [[nodiscard]] bool is_arbiter(std::uint32_t source, std::int64_t pid) const;

  /// The identity a record is about, made when it is new.
  Life& of_arbiter_record(std::uint32_t source, std::int64_t pid, std::int64_t arbiter, Mark mark);
  Life& of_worker_record(std::uint32_t source, std::int64_t pid, Mark mark);
  /// The identity a pid has now; nullptr when it has none.
  Life* find(std::uint32_t source, std::int64_t pid);
  Life* by_id(LifeId id);
  /// Gives the identity that line `first_line` began in `from` to the source `to`; kNobody when it
  /// began none.
  LifeId move(std::uint64_t first_line, std::uint32_t from, std::uint32_t to);

  /// A boot record; @return the identity, and whether the line is one more copy of a known boot.
  std::pair<Life*, bool> boot(std::uint32_t source, std::int64_t pid, std::int64_t column,
                              Mark mark);
  /// To be called before the first mark of an end is set.
  void note_end(Life& life);
  void stop(std::uint32_t source, std::int64_t arbiter, Mark mark);
  void reload(std::uint32_t source, std::int64_t arbiter);
  void more_workers(std::uint32_t source, std::int64_t arbiter);
  /// An access line: every worker of the source now alive has served.
  void serve(std::uint32_t source) { ++sources_[source].service; }
  [[nodiscard]] bool served(const Life& life) const;
  [[nodiscard]] const Run& run(std::uint32_t index) const { return runs_[index]; }
  [[nodiscard]] const std::string& name_of(std::uint32_t source) const {
    return sources_[source].name;
  }

  /// Judges everything that is left.
  void finish();
  /// Calls `seen` for each life kept, oldest first.
  template <class Seen>
  void for_each(Seen&& seen) {
    for (auto& [id, life] : lives_) seen(life);
  }

 private:
  struct Source {
    std::string name;
    std::uint32_t run = 0;
    bool has_run = false;
    std::uint64_t service = 0;
    std::unordered_map<std::int64_t, LifeId> by_pid;
    std::vector<std::uint32_t> runs;  // the last few
  };

  std::uint32_t new_run(std::uint32_t source);
  std::uint32_t current_run(std::uint32_t source);
  Life& make(std::uint32_t source, std::uint32_t run, std::int64_t pid, const Mark& mark);
  void take_slot(Life& life, Run& run, const Mark& mark);
  void replace(Life& life, LifeId& slot, const Mark& mark);
  void let_go();

  Judge judge_;
  void* self_;
  std::vector<Source> sources_;
  std::map<std::string, std::uint32_t, std::less<>> names_;
  std::vector<Run> runs_;
  std::map<LifeId, Life> lives_;
  LifeId next_ = 1;
};

}  // namespace tricorn::control::doctor
