#include "worker/interrupter.h"

#include <pthread.h>

#include <memory>

#include "base/signals_blocked.h"
#include "pyapi/interruption.h"
#include "worker/fatal_signals.h"

namespace tricorn::worker {
namespace {

struct Order {
  const heartbeat::Slot* slot;
  std::uint32_t request_id;
};

// With the GIL nobody can end the request between the look and the order: run_request() takes an
// order back that came too late.
void* carry_out(void* argument) {
  const std::unique_ptr<Order> order(static_cast<Order*>(argument));
  const PyGILState_STATE state = PyGILState_Ensure();
  const heartbeat::Slot& slot = *order->slot;
  const bool still = slot.request_id.load() == order->request_id && slot.started_ns.load() != 0 &&
                     slot.claim.load() == heartbeat::Claim::Farewell;
  const auto* tstate = reinterpret_cast<const PyThreadState*>(slot.tstate.load());  // NOLINT
  if (still && tstate != nullptr) pyapi::interrupt_thread(tstate, pyapi::Gil::held_by_caller());
  PyGILState_Release(state);
  return nullptr;
}

}  // namespace

void interrupt_request(const heartbeat::Slot& slot, std::uint32_t request_id) {
  auto order = std::make_unique<Order>(Order{&slot, request_id});
  const base::SignalsBlocked blocked(kFatalSignals);  // they go to the application's threads
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, carry_out, order.get()) == 0) {
    static_cast<void>(order.release());
    ::pthread_setname_np(thread, "interrupter");
    ::pthread_detach(thread);
  }
}

}  // namespace tricorn::worker
