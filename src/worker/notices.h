// What a worker tells the arbiter of ends that it made itself, since the arbiter has all the words
// about incidents: clients that were too slow, and exceptions that say more than that a program
// failed.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "heartbeat/recorder.h"

namespace tricorn::worker {

/// One such end. Texts are cut to what a message holds.
struct Notice {
  std::string_view cause;  ///< a name of diagnose/causes.def, e.g. "client.slow_upload"
  std::string request;     ///< "GET /orders"; empty: not even that is known
  heartbeat::Client client;
  std::uint64_t bytes_in = 0;   ///< of the request
  std::uint64_t bytes_out = 0;  ///< of the response, taken by the kernel
  std::int64_t ran_ns = 0;      ///< since it began
  std::string error;            ///< of an exception: "RecursionError: ..."
  std::string stack;            ///< lines of "LINE FUNCTION FILE", innermost first
};

/// Of an incident. Not one of the arbiter's, which knows its own: with 16 million of them they
/// hardly meet. Any thread. @return empty: the kernel gives no random bytes
[[nodiscard]] std::string new_reference();

/// Told in one second at most; the others are counted. Source: our bound, against slow clients that
/// come in thousands.
inline constexpr unsigned kNoticesPerSecond = 10;

/// Sends them. Any thread.
class Notices {
 public:
  /// @param control  the worker's end of the control channel; stays the caller's
  explicit Notices(int control) : control_(control) {}
  /// @param now_ns  monotonic
  /// @return the reference for the client's answer; empty: it was only counted
  std::string tell(const Notice& notice, std::int64_t now_ns);

 private:
  const int control_;
  std::mutex mutex_;
  std::int64_t second_began_ns_ = 0;
  unsigned told_ = 0;    // in this second
  unsigned untold_ = 0;  // since the last one that was told
};

}  // namespace tricorn::worker
