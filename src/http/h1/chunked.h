// The chunked coding of a request body: RFC 9112 section 7.1.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/limits.h"

namespace tricorn::http::h1 {

/// Takes the chunks off a body, piece by piece. Strict: hex digits only and at most 16, CRLF where the
/// grammar has it, no bare LF. Trailers are checked and dropped. No I/O, no Python; one thread.
class ChunkedDecoder {
 public:
  enum class Status { More, Done, Error };

  /// What one feed() brought.
  struct Step {
    Status status = Status::More;
    std::string_view data;     ///< body bytes, a view into what was fed; may be empty
    std::size_t consumed = 0;  ///< bytes taken, data included; the rest is fed again, or is the next request
  };

  explicit ChunkedDecoder(const Limits& limits);

  /// Takes bytes up to the end of one piece of data.
  /// @param bytes  what follows the bytes consumed so far
  /// @return More: `consumed` is above 0 unless `bytes` is empty; Done: body and trailers are complete;
  ///   Error: the body is broken, nothing more may be fed until reset()
  Step feed(std::string_view bytes);

  /// Starts over for the next body; keeps the limits.
  void reset();

 private:
  enum class State { SizeStart, Size, SizeBws, Extension, SizeLf, Data, DataCr, DataLf, Trailer, Done };

  bool on_line_byte(char byte);
  bool on_size_end(char byte);
  bool on_trailer_byte(char byte);
  bool end_trailer_line();

  std::size_t trailer_bytes_max_;
  std::size_t trailer_lines_max_;
  std::size_t trailer_line_max_;
  State state_ = State::SizeStart;
  std::uint64_t left_ = 0;  // of this chunk's data
  std::size_t digits_ = 0;
  std::size_t line_bytes_ = 0;
  std::size_t trailer_lines_ = 0;
  bool quoted_ = false;
  bool escaped_ = false;
  std::string trailer_line_;
};

}  // namespace tricorn::http::h1
