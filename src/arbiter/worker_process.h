// What the arbiter knows of one worker.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arbiter/client_connection.h"
#include "arbiter/keeper_link.h"
#include "arbiter/memory_limit.h"
#include "base/unique_fd.h"
#include "diagnose/look.h"
#include "diagnose/time_by_stack.h"
#include "diagnose/verdict.h"
#include "heartbeat/page.h"

namespace tricorn::arbiter {

/// Why and when we sent a signal that ends: the ledger that keeps us from blaming others.
struct Kill {
  std::string reason;  ///< empty: we did not
  std::string ref;     ///< of the incident that led to it; may be empty
};

/// Connections on their way to one worker. A channel holds 278 messages: net.core.wmem_default.
inline constexpr std::size_t kOnTheWayMax = 128;

/// A request that is told of as slow.
struct SlowRequest {
  explicit SlowRequest(const std::string& app_directory) : time(app_directory) {}
  bool quiet = false;         ///< its like was told of a moment ago
  unsigned quiet_before = 0;  ///< how many of its path were not told of since the last that was
  std::string ref;            ///< empty: not told of yet
  std::vector<diagnose::ProcessLook> looks;
  std::unique_ptr<diagnose::InstructionSampler> instructions;  ///< as SlotWatch's
  diagnose::Evidence evidence;                                 ///< as it was told of
  diagnose::Verdict verdict;
  std::string busy;  ///< where all threads of the worker were then
  diagnose::TimeByStack time;
  std::int64_t sampled_ns = 0;  ///< the time up to here is in `time`
  std::int64_t next_ns = 0;     ///< monotonic
};

/// A request whose thread was told to drop it.
struct Interruption {
  std::uint32_t request_id = 0;
  std::int64_t until_ns = 0;  ///< monotonic; a thread that has not come back by then is given up
  std::string ref;
};

/// One request the arbiter follows.
struct SlotWatch {
  std::uint32_t request_id = 0;
  std::int64_t next_sample_ns = 0;  ///< monotonic
  std::int64_t next_look_ns = 0;
  std::vector<diagnose::ProcessLook> samples;
  std::vector<diagnose::ProcessLook> looks;
  std::optional<diagnose::ProcessLook> before_cut;  ///< a moment before its worker is ended
  std::int64_t started_ns = 0;
  std::optional<Interruption> interruption;  ///< under way
  std::string request;                       ///< "GET /x", noted at the first sample
  std::unique_ptr<SlowRequest> slow;         ///< null: not slow
  /// From the first look on, if it was on the CPU then.
  std::unique_ptr<diagnose::InstructionSampler> instructions;
};

struct WorkerProcess {
  WorkerProcess(heartbeat::Page worker_page, base::UniqueFd control_end, base::UniqueFd keeper_end)
      : page(std::move(worker_page)),
        control(std::move(control_end)),
        keeper(std::move(keeper_end)) {}

  [[nodiscard]] heartbeat::Life life() const { return page.header().life.load(); }
  [[nodiscard]] bool ready() const { return life() == heartbeat::Life::Ready; }
  /// Takes requests, and is to go on.
  [[nodiscard]] bool in_service() const { return ready() && !leaving; }
  [[nodiscard]] heartbeat::Doors doors() const {
    return page.header().doors.load(std::memory_order_relaxed);
  }
  /// It waits for its GIL, nobody knows how long: a request is better off anywhere else.
  [[nodiscard]] bool stuck() const { return doors() == heartbeat::Doors::Stuck; }
  /// Counts as one of the workers that should be there.
  [[nodiscard]] bool counts() const { return !leaving && !worn_out; }

  /// Of those it was given.
  [[nodiscard]] std::size_t on_the_way() const {
    return given_count - page.header().adopted.load(std::memory_order_acquire);
  }
  /// Half of what its channel holds is for other orders.
  [[nodiscard]] bool takes_more() const { return on_the_way() < kOnTheWayMax; }

  /// For further connections, those on their way to it counted.
  [[nodiscard]] std::size_t free_threads() const {
    if (doors() != heartbeat::Doors::Open) return 0;
    std::size_t free = 0;
    for (std::uint32_t i = 0; i < page.slot_count(); ++i) {
      free += page.slot(i).started_ns.load(std::memory_order_relaxed) == 0 ? 1 : 0;
    }
    return free - std::min(free, on_the_way());
  }
  [[nodiscard]] bool has_free_thread() const { return free_threads() > 0; }

  pid_t pid = -1;
  base::UniqueFd pidfd;
  int age = 0;
  /// Connections it was given and has not noted in its page: copies of ours, oldest first. If it
  /// dies in the system call that brings one, nothing else knows of it.
  std::deque<ClientConnection> given;
  std::uint64_t given_count = 0;  ///< of all times
  unsigned generation = 0;
  ino_t last_passed_on = 0;  ///< socket that came from it last: it may not have closed its own yet
  std::vector<ino_t> taken_back;  ///< sockets that came from it after its death
  heartbeat::Page page;
  base::UniqueFd control;
  KeeperLink keeper;
  std::unique_ptr<diagnose::Inspector> inspector;
  std::vector<SlotWatch> slots;
  MemoryWatch memory;
  unsigned interruptions = 0;  ///< requests of it that --request-timeout ended
  bool was_ready = false;
  bool leaving = false;   ///< drains or is being killed: a replacement may be started
  bool worn_out = false;  ///< close to --max-requests: serves until its replacement does
  bool boot_reported = false;
  bool has_lost_threads = false;   ///< a request timed out, others may still run
  std::int64_t settled_at_ns = 0;  ///< whatever it had begun by the time-out is in its slots
  std::int64_t kill_at_ns = 0;     ///< SIGKILL is due, 0: none
  std::int64_t cut_at_ns = 0;  ///< told to leave: its requests may go on until then; 0: not told
  std::string kill_at_reason;
  Kill kill;
  std::string ref;  ///< of the incident of this worker that came last
  std::vector<diagnose::ProcessLook> crash_looks;
  std::int64_t killed_at_ns = 0;  ///< SIGKILL was sent; 0: not yet
  bool told_as_stuck = false;     ///< SIGKILL does not reach it, and that is told
  bool looked_before_cut = false;
};

}  // namespace tricorn::arbiter
