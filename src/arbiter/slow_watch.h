// Early warning: a request that takes long is told of while it still runs, and sampled until it
// ends. What that may cost has bounds: lines by SlowGate, samples by the turn of the loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "arbiter/incidents.h"
#include "arbiter/options.h"
#include "arbiter/references.h"
#include "arbiter/slow_gate.h"
#include "arbiter/worker_process.h"
#include "base/log.h"

namespace tricorn::arbiter {

/// Samples of slow requests in one turn of the loop, of all workers.
inline constexpr unsigned kSlowSamplesPerTurn = 16;

/// Watches the requests of all workers; what it knows of one lies in its SlotWatch::slow. Loop
/// thread only, never blocks for longer than a look takes.
class SlowWatch {
 public:
  /// All must outlive it; `options` may be changed between two calls.
  SlowWatch(const Options& options, Incidents& incidents, References& references,
            const base::Log& log)
      : options_(options), incidents_(incidents), references_(references), log_(log) {}

  /// A turn of the loop begins, in which a bounded number of samples may be taken.
  void begin_turn() { samples_left_ = kSlowSamplesPerTurn; }
  /// Looks at the running request of a slot that SlotWatch::started_ns belongs to, if it is slow.
  /// @param from_ns  nothing is told of before, monotonic
  /// @return when it wants to be called next at the latest, monotonic; 0: as often as before
  [[nodiscard]] std::int64_t attend(WorkerProcess& worker, std::uint32_t index,
                                    std::int64_t from_ns);
  /// The request of the slot is over, whether it was slow or not.
  /// @param how  "answered", "timed out", "worker died"
  void end(WorkerProcess& worker, SlotWatch& watch, std::string_view how);

 private:
  void begin(WorkerProcess& worker, std::uint32_t index, std::int64_t now_ns);
  void tell(WorkerProcess& worker, std::uint32_t index);
  void sample(WorkerProcess& worker, std::uint32_t index, std::int64_t now_ns);
  [[nodiscard]] std::string busy_text(const WorkerProcess& worker) const;

  const Options& options_;
  Incidents& incidents_;
  References& references_;
  const base::Log& log_;
  SlowGate gate_;
  unsigned samples_left_ = 0;
};

}  // namespace tricorn::arbiter
