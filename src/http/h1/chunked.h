// The chunked coding of a request body: RFC 9112 section 7.1.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/limits.h"
#include "http/message.h"

namespace tricorn::http::h1 {

/// Takes the chunks off a body, piece by piece. Strict: hex digits only and at most 16, CRLF where
/// the grammar has it, no bare LF, no bare CR. Extensions are checked and dropped. Memory is
/// bounded: only trailers are kept. No I/O, no Python; one thread.
///
///   Size ──digits──▶ (extensions) ──CRLF──▶ Data ──all of it──▶ CRLF ──▶ Size
///     └── last chunk ──CRLF──▶ Trailer ──empty line──▶ Done          any breach ▶ Broken
class ChunkedDecoder {
 public:
  enum class Status { More, Done, Error };

  /// What one feed() brought. With Done or Error, `data` is still what stood before.
  struct Step {
    Status status = Status::More;
    std::string_view data;  ///< body bytes, a view into what was fed; may be empty
    std::size_t consumed =
        0;  ///< bytes taken, data included; the rest is fed again, or is the next request
  };

  explicit ChunkedDecoder(const Limits& limits);

  /// Takes the framing before one piece of data, the piece, and the framing behind it.
  /// @param bytes  what follows the bytes consumed so far
  /// @return More: `consumed` is above 0 unless `bytes` is empty; Done: body and trailers are
  /// complete;
  ///   Error: refusal() says why. Done and Error stay until reset().
  Step feed(std::string_view bytes);

  /// Why the body is broken, after Error.
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  /// Fields behind the last chunk, after Done; valid until reset(). Never merged with the head's:
  /// RFC 9110 section 6.5.1.
  [[nodiscard]] std::span<const Field> trailers() const { return trailers_; }
  /// Starts over for the next body; keeps the limits.
  void reset();

 private:
  enum class State : std::uint8_t {
    SizeStart,   // the first digit
    Size,        // more digits, or what may follow them
    BeforeSemi,  // white space behind a size or value: only ';' may follow
    ExtName,     // white space before a name, or its first byte
    ExtNameMore,
    BeforeEqual,  // white space behind a name
    ExtValue,     // white space before a value, or its first byte
    ExtValueMore,
    Quoted,
    QuotedEscape,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    Done,
    Broken,
  };

  State on_framing(char byte);
  State on_size(char byte);
  State on_extension(char byte);
  State on_quoted(char byte);
  State after(char byte);
  State end_size_line();
  State on_trailer(char byte);
  State end_trailer_line();
  State end_trailers();
  State refuse(int status, std::string message);

  std::size_t trailer_bytes_max_;
  std::size_t trailers_max_;
  std::size_t trailer_line_max_;
  State state_ = State::SizeStart;
  std::uint64_t left_ = 0;  // of this chunk's data
  std::size_t digits_ = 0;
  std::size_t line_bytes_ = 0;       // of this size line
  std::uint64_t data_bytes_ = 0;     // announced so far
  std::uint64_t framing_bytes_ = 0;  // of all size lines
  std::string trailer_text_;         // lines with their CRLF
  std::size_t trailer_line_at_ = 0;
  std::size_t trailer_count_ = 0;
  std::vector<Field> trailers_;  // views into trailer_text_
  Refusal refusal_;
};

}  // namespace tricorn::http::h1
