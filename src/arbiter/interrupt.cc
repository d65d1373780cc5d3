// --request-timeout: the client has its answer, the thread is told to drop the request, and the
// worker lives on if it does.
#include <fmt/format.h>
#include <sys/socket.h>

#include <cstring>

#include "arbiter/arbiter.h"
#include "base/clock.h"
#include "heartbeat/wire.h"

namespace tricorn::arbiter {
namespace {

// For the exception to reach the thread and the application to clean up. A call into C that lasts
// longer does not see it.
constexpr std::int64_t kReturnNs = 1'000'000'000;
// Each may leave a lock held or a change half done, so a worker is not spared for ever.
constexpr unsigned kInterruptionsMax = 100;

}  // namespace

void Arbiter::interrupt(WorkerProcess& worker, std::uint32_t index, const std::string& ref) {
  SlotWatch& watch = worker.slots[index];
  watch.interruption = {watch.request_id, base::monotonic_ns() + kReturnNs, ref};
  ++worker.interruptions;
  char payload[sizeof watch.request_id];
  std::memcpy(payload, &watch.request_id, sizeof payload);
  // An order that does not get through ends as one that is not obeyed.
  static_cast<void>(heartbeat::send_message(worker.control.get(), heartbeat::Verb::Interrupt,
                                            static_cast<std::int32_t>(index), payload,
                                            sizeof payload, -1, MSG_DONTWAIT));
  wake_at(watch.interruption->until_ns);
}

void Arbiter::attend_interrupted(WorkerProcess& worker, std::uint32_t index) {
  const heartbeat::Slot& slot = worker.page.slot(index);
  std::optional<Interruption>& interruption = worker.slots[index].interruption;
  const bool ended =
      slot.started_ns.load() == 0 || slot.request_id.load() != interruption->request_id;
  if (!ended && base::monotonic_ns() < interruption->until_ns)
    return wake_at(interruption->until_ns);
  const std::string ref = std::move(interruption->ref);
  interruption.reset();
  if (!ended) {
    log_.warning(fmt::format(
        "Worker (pid:{}) is replaced: the thread of ref {} did not come back within {:.1f} s",
        worker.pid, ref, static_cast<double>(kReturnNs) / 1e9));
    drain(worker);
    return give_up_thread(worker, ref);
  }
  if (worker.interruptions < kInterruptionsMax || worker.leaving) return;
  log_.info(fmt::format("Worker (pid:{}) is replaced: {} of its requests were ended", worker.pid,
                        worker.interruptions));
  drain(worker);
}

}  // namespace tricorn::arbiter
