// Where wsgi.input takes its bytes from.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http/message.h"
#include "pyapi/gil.h"

namespace tricorn::gateway::wsgi {

/// What came of a read.
enum class BodyStatus {
  Data,       ///< `bytes` are there, at least one
  End,        ///< the body is complete
  Malformed,  ///< broken chunked framing: RFC 9112 section 7.1
  Truncated,  ///< the client closed before the end: RFC 9112 section 8
  TimedOut,   ///< the client sent nothing for --body-timeout
};

/// The body of one request. Used by one app thread.
class Body {
 public:
  virtual ~Body() = default;
  /// Copies what is there, at least one byte, waiting for the client if need be (without the GIL).
  /// @param got  set for Data only, at most `bytes_max`
  virtual BodyStatus read(char* into, std::size_t bytes_max, std::size_t& got,
                          const pyapi::Gil& gil) = 0;
  /// Bytes still to come when the length is known, else -1 (chunked).
  [[nodiscard]] virtual std::int64_t remaining() const = 0;
  /// What the client did wrong, after Malformed, else null.
  [[nodiscard]] virtual const http::Refusal* fault() const = 0;
};

}  // namespace tricorn::gateway::wsgi
