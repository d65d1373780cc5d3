// What a head's fields say about host, body and connection.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http/message.h"

namespace tricorn::http::h1 {

/// A set of known fields.
class FieldSet {
 public:
  void add(KnownField field) { bits_ |= bit(field); }
  [[nodiscard]] bool has(KnownField field) const { return (bits_ & bit(field)) != 0; }

 private:
  static std::uint64_t bit(KnownField field) {
    return std::uint64_t{1} << static_cast<unsigned>(field);
  }
  static_assert(kKnownFields < 64);
  std::uint64_t bits_ = 0;
};

/// Which known fields a head has, collected while it was read, so that most questions need no
/// search.
struct FieldsSeen {
  FieldSet once;
  FieldSet again;  ///< more than one of them
};

/// The last Host that was valid: the next one is nearly always the same.
struct HostMemo {
  static constexpr std::size_t kBytesMax = 64;
  char bytes[kBytesMax];
  std::size_t size = 0;
};

/// Checks Host, Transfer-Encoding, Content-Length, Expect and Connection, and notes in `head` what
/// they mean.
/// @return false: `refusal` says why
/// Source: RFC 9112 sections 3.2, 6.1, 6.3, 9.3; RFC 9110 sections 7.2, 8.6, 10.1.1.
[[nodiscard]] bool check_framing(RequestHead& head, const FieldsSeen& seen, HostMemo& memo,
                                 Refusal& refusal);

}  // namespace tricorn::http::h1
