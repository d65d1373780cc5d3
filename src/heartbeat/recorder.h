// What the worker writes into its slot around each request: a few relaxed stores, no lock, no
// system call. Built with TRICORN_HEARTBEAT=OFF none of it happens, which shows what it costs:
// bench/diagnosis_cost.sh.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "heartbeat/page.h"

namespace tricorn::heartbeat {

#ifdef TRICORN_NO_HEARTBEAT
inline constexpr bool kRecording = false;
#else
inline constexpr bool kRecording = true;
#endif

/// The text of a request, whatever its length and wherever its parts lie.
/// @param path  raw path without the query string; cut to what fits
void write_request(Slot& slot, const std::string_view& method, const std::string_view& path);

/// The same for most requests, in a third of the instructions: short, with one byte between the
/// two as in the request line. @return false: nothing was written, write_request() can
[[nodiscard]] inline bool write_short_request(Slot& slot, std::string_view method,
                                              std::string_view path) {
  const std::size_t bytes = method.size() + 1 + path.size();
  if (method.data() + method.size() + 1 != path.data()) return false;
  if (bytes < 4 || bytes > 32) return false;
  // The first and the last so many bytes, which may overlap.
  const auto copy_ends = [&]<typename Part>(Part first) {
    Part last;
    std::memcpy(&first, method.data(), sizeof first);
    std::memcpy(&last, method.data() + bytes - sizeof last, sizeof last);
    std::memcpy(slot.request, &first, sizeof first);
    std::memcpy(slot.request + bytes - sizeof last, &last, sizeof last);
  };
  if (bytes >= 16) {
    copy_ends(static_cast<unsigned __int128>(0));
  } else if (bytes >= 8) {
    copy_ends(std::uint64_t{0});
  } else {
    copy_ends(std::uint32_t{0});
  }
  slot.request[method.size()] = ' ';
  slot.method_bytes = static_cast<std::uint16_t>(method.size());
  slot.request_bytes = static_cast<std::uint16_t>(bytes);
  return true;
}

/// Opens a request on `slot`: the application is about to be called. Inline, and with references to
/// the texts, since it has more arguments than there are registers.
/// @param now_ns  monotonic
/// @param path  as for write_request()
inline void begin_request(Slot& slot, const std::string_view& method, const std::string_view& path,
                          int connection_fd, const Client& client, std::int64_t now_ns) {
  if constexpr (!kRecording) return;
  constexpr auto kRelaxed = std::memory_order_relaxed;
  // Odd sequence first, fields next, even last: on x86 plain stores in this order; the fence is for
  // others.
  const std::uint32_t sequence = slot.sequence.load(kRelaxed);
  slot.sequence.store(sequence + 1, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  if (!write_short_request(slot, method, path)) write_request(slot, method, path);
  slot.client = client;
  slot.connection_fd.store(connection_fd, kRelaxed);
  slot.bytes_in.store(0, kRelaxed);
  slot.bytes_out.store(0, kRelaxed);
  const std::uint32_t id = slot.request_id.load(kRelaxed) + 1;
  slot.request_id.store(id, kRelaxed);
  slot.phase.store(Phase::Application, kRelaxed);
  slot.progress_ns.store(now_ns, kRelaxed);
  // Whoever sees this claim sees whose connection it is about.
  slot.claim.store(id, Claim::Pending, std::memory_order_release);
  slot.started_ns.store(now_ns, kRelaxed);
  slot.sequence.store(sequence + 2, std::memory_order_release);
}

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
  const std::uint32_t id = slot.request_id.load(std::memory_order_relaxed);
  return slot.claim.change(id, Claim::Pending, Claim::Started) ||
         slot.claim.of(id) == Claim::Started;
}

/// Says what a connection holds. @param place  Page::hold() of its descriptor
inline void note_hold(std::atomic<Hold>& place, Hold hold) {
  if constexpr (kRecording) place.store(hold, std::memory_order_relaxed);
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
[[nodiscard]] inline bool end_request(Slot& slot) {
  if constexpr (!kRecording) return true;
  slot.started_ns.store(0, std::memory_order_relaxed);
  slot.progress_ns.store(0, std::memory_order_relaxed);
  slot.phase.store(Phase::Idle, std::memory_order_relaxed);
  const std::uint32_t id = slot.request_id.load(std::memory_order_relaxed);
  return slot.claim.exchange(id, Claim::None) != Claim::Farewell;
}

}  // namespace tricorn::heartbeat
