// What the worker writes into its slot around each request: a few relaxed stores, no lock, no
// system call. Built with TRICORN_HEARTBEAT=OFF none of it happens, which shows what it costs:
// bench/diagnosis_cost.sh.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "heartbeat/page.h"

namespace tricorn::heartbeat {

/// The client of a request, as the slot keeps it.
struct Client {
  std::uint16_t family = 0;
  std::uint16_t port = 0;
  std::uint8_t address[16] = {};
};

/// Its address as text; empty for a unix socket.
[[nodiscard]] std::string text_of(const Client& client);

#ifdef TRICORN_NO_HEARTBEAT
inline constexpr bool kRecording = false;
#else
inline constexpr bool kRecording = true;
#endif

/// Opens a request on `slot`: the application is about to be called.
/// @param now_ns  monotonic
/// @param path  raw path without the query string; cut to what fits
void begin_request(Slot& slot, std::string_view method, std::string_view path, int connection_fd,
                   const Client& client, std::int64_t now_ns);

/// Says what the thread is doing now and that it got on. @param now_ns monotonic
inline void note_phase(Slot& slot, Phase phase, std::int64_t now_ns) {
  if constexpr (!kRecording) return;
  slot.phase.store(phase, std::memory_order_relaxed);
  slot.progress_ns.store(now_ns, std::memory_order_relaxed);
}

/// Takes the right to answer. @return false: the arbiter has answered, write nothing to this
/// client.
[[nodiscard]] inline bool claim_answer(Slot& slot) {
  if constexpr (!kRecording) return true;
  Claim pending = Claim::Pending;
  return slot.claim.compare_exchange_strong(pending, Claim::Started, std::memory_order_acq_rel) ||
         pending == Claim::Started;
}

/// Says what a connection holds. @param fd  of the connection
inline void note_hold(const Page& page, int fd, Hold hold) {
  if constexpr (kRecording) page.hold(fd).store(hold, std::memory_order_relaxed);
}

/// The next byte written to the connection is the first of an answer. @param written  before it
inline void note_answer_begin(AnswerMarks& marks, std::uint64_t written) {
  if constexpr (!kRecording) return;
  marks.end.store(0, std::memory_order_relaxed);
  marks.begin.store(written, std::memory_order_relaxed);
}

/// The answer is complete with this many bytes written to the connection in all.
inline void note_answer_end(AnswerMarks& marks, std::uint64_t written) {
  if constexpr (kRecording) marks.end.store(written, std::memory_order_relaxed);
}

/// Closes the request. @return false: the arbiter answered in our place meanwhile (the claim was
/// Farewell).
bool end_request(Slot& slot);

}  // namespace tricorn::heartbeat
