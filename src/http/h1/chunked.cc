#include "http/h1/chunked.h"

#include <algorithm>
#include <array>

#include "http/h1/scan.h"
#include "http/message.h"

namespace tricorn::http::h1 {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Fields that would change what the request meant. Source: RFC 9110 section 6.5.1; gunicorn.md 6.2.
constexpr std::array<std::string_view, 6> kForbidden{"host",    "content-length", "transfer-encoding",
                                                     "trailer", "authorization",  "te"};

}  // namespace

ChunkedDecoder::ChunkedDecoder(const Limits& limits)
    : trailer_bytes_max_(limits.head_max()),
      trailer_lines_max_(limits.fields_bound()),
      trailer_line_max_(limits.field_bound()) {}

void ChunkedDecoder::reset() {
  state_ = State::SizeStart;
  left_ = 0;
  digits_ = line_bytes_ = trailer_lines_ = 0;
  quoted_ = escaped_ = false;
  trailer_line_.clear();
}

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view bytes) {
  Step step;
  while (step.consumed < bytes.size() && state_ != State::Done) {
    if (state_ == State::Data) {
      const std::size_t run = std::min<std::uint64_t>(left_, bytes.size() - step.consumed);
      step.data = bytes.substr(step.consumed, run);
      step.consumed += run;
      left_ -= run;
      if (left_ == 0) state_ = State::DataCr;
      return step;
    }
    const char byte = bytes[step.consumed++];
    const bool good = state_ == State::Trailer ? on_trailer_byte(byte) : on_line_byte(byte);
    if (!good) {
      step.status = Status::Error;
      return step;
    }
  }
  if (state_ == State::Done) step.status = Status::Done;
  return step;
}

bool ChunkedDecoder::on_line_byte(char byte) {
  if (++line_bytes_ > Limits::kChunkLineBytesMax) return false;
  switch (state_) {
    case State::SizeStart:
    case State::Size:
      if (const int value = hex_value(byte); value >= 0) {
        if (++digits_ > Limits::kChunkDigitsMax) return false;
        left_ = left_ << 4 | static_cast<std::uint64_t>(value);
        state_ = State::Size;
        return true;
      }
      return state_ == State::Size && on_size_end(byte);
    case State::SizeBws:  // white space counts only before an extension
      if (byte == ' ' || byte == '\t') return true;
      if (byte != ';') return false;
      state_ = State::Extension;
      return true;
    case State::Extension:
      if (byte == '\r' && !quoted_) {
        state_ = State::SizeLf;
        return true;
      }
      if (static_cast<unsigned char>(byte) < 0x20 && byte != '\t') return false;
      if (byte == 0x7f) return false;
      if (!escaped_ && byte == '"') quoted_ = !quoted_;
      escaped_ = quoted_ && !escaped_ && byte == '\\';
      return true;
    case State::SizeLf:
      if (byte != '\n') return false;
      line_bytes_ = digits_ = 0;
      state_ = left_ > 0 ? State::Data : State::Trailer;
      return true;
    case State::DataCr:
      line_bytes_ = 0;
      state_ = State::DataLf;
      return byte == '\r';
    case State::DataLf:
      line_bytes_ = 0;
      state_ = State::SizeStart;
      return byte == '\n';
    case State::Data:
    case State::Trailer:
    case State::Done:
      return false;
  }
  return false;
}

bool ChunkedDecoder::on_size_end(char byte) {
  if (byte == '\r') {
    state_ = State::SizeLf;
  } else if (byte == ';') {
    state_ = State::Extension;
  } else if (byte == ' ' || byte == '\t') {
    state_ = State::SizeBws;
  } else {
    return false;
  }
  return true;
}

bool ChunkedDecoder::on_trailer_byte(char byte) {
  if (++line_bytes_ > trailer_bytes_max_) return false;
  if (byte != '\n') {
    trailer_line_.push_back(byte);
    return trailer_line_.size() <= trailer_line_max_;
  }
  if (trailer_line_.empty() || trailer_line_.back() != '\r') return false;
  trailer_line_.pop_back();
  return end_trailer_line();
}

// Trailers are checked as fields are, then dropped: they never join the request's fields.
bool ChunkedDecoder::end_trailer_line() {
  if (trailer_line_.empty()) {
    state_ = State::Done;
    return true;
  }
  const std::string_view line = trailer_line_;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || ++trailer_lines_ > trailer_lines_max_) return false;
  const std::string_view name = line.substr(0, colon);
  const bool forbidden = std::any_of(kForbidden.begin(), kForbidden.end(),
                                     [name](std::string_view each) { return equals_lower(name, each); });
  const bool good = !forbidden && valid_field_name(name) && valid_field_value(line.substr(colon + 1));
  trailer_line_.clear();
  return good;
}

}  // namespace tricorn::http::h1
