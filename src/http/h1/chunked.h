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

/// Takes the chunks off a body, piece by piece. Strict: hex digits only and at most 16, CRLF where the
/// grammar has it, no bare LF, no bare CR. Extensions are checked and dropped. Memory is bounded: only
/// trailers are kept. No I/O, no Python; one thread.
///
///   Size ──digits──▶ (extensions) ──CRLF──▶ Data ──all──▶ DataCr ▶ DataLf ▶ Size
///     └── last-chunk ──CRLF──▶ Trailer ──empty line──▶ Done         any breach ▶ Broken
class ChunkedDecoder {
 public:
  enum class Status { More, Done, Error };

  /// What one feed() brought. With Error, `data` is still what stood before the error.
  struct Step {
    Status status = Status::More;
    std::string_view data;     ///< body bytes, a view into what was fed; may be empty
    std::size_t consumed = 0;  ///< bytes taken, data included; the rest is fed again, or is the next request
  };

  explicit ChunkedDecoder(const Limits& limits) : limits_(limits) {}

  /// Takes bytes up to the end of one piece of data and the framing behind it.
  /// @param bytes  what follows the bytes consumed so far
  /// @return More: `consumed` is above 0 unless `bytes` is empty; Done: the body and its trailers are
  ///   complete; Error: refusal() says why, and nothing more is taken until reset()
  Step feed(std::string_view bytes);

  /// Why the body is broken, after Error.
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  /// Fields behind the last chunk, after Done; valid until reset(). Not merged with the head's fields:
  /// RFC 9110 section 6.5.1.
  [[nodiscard]] std::span<const Field> trailers() const { return trailers_; }
  /// Starts over for the next body; keeps the limits.
  void reset();

 private:
  enum class State : std::uint8_t {
    Size,           // the first digit
    SizeDigits,     // more digits, or what may follow them
    BeforeSemi,     // white space behind size or value: only ';' may follow
    ExtName,        // first character of a name, or white space before it
    ExtNameMore,
    BeforeEqual,    // white space behind a name: '=' or ';' may follow
    ExtValue,       // first character of a value, or white space before it
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

  State step(char c);
  State on_size(char c);
  State on_extension(char c);
  State after_size_line();
  State on_data_end(char c);
  State on_trailer(char c);
  State end_trailer_line();
  State refuse(int status, std::string message);
  bool parse_trailers();

  Limits limits_;
  State state_ = State::Size;
  std::uint64_t left_ = 0;             // of this chunk's data
  std::size_t digits_ = 0;
  std::size_t line_bytes_ = 0;         // of this size line or trailer line
  std::uint64_t data_bytes_ = 0;
  std::uint64_t extension_bytes_ = 0;
  std::string trailer_text_;           // lines with CRLF
  std::vector<Field> trailers_;        // views into trailer_text_
  Refusal refusal_;
};

}  // namespace tricorn::http::h1
