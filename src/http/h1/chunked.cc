#include "http/h1/chunked.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "http/h1/field_line.h"
#include "http/h1/known_fields.h"
#include "http/h1/scan.h"

namespace tricorn::http::h1 {
namespace {

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// HTAB, SP, VCHAR, obs-text: what a quoted string is made of. Source: RFC 9110 section 5.6.4.
bool is_text(char c) { return c == '\t' || (static_cast<std::uint8_t>(c) >= 0x20 && c != 0x7f); }

// Fields that would change what the request meant. Source: RFC 9110 section 6.5.1; gunicorn.md
// section 6.2.
constexpr std::array<std::string_view, 6> kForbidden{
    "host", "content-length", "transfer-encoding", "trailer", "authorization", "te"};

bool forbidden(std::string_view name) {
  return std::any_of(kForbidden.begin(), kForbidden.end(),
                     [name](std::string_view each) { return equals_lower(name, each); });
}

}  // namespace

ChunkedDecoder::ChunkedDecoder(const Limits& limits)
    : trailer_bytes_max_(std::min(limits.fields_bound() * (limits.field_bound() + 2) + 4,
                                  Limits::kTrailerBytesMax)),
      trailers_max_(limits.fields_bound()),
      trailer_line_max_(limits.field_bound()) {}

void ChunkedDecoder::reset() {
  state_ = State::SizeStart;
  left_ = data_bytes_ = framing_bytes_ = 0;
  digits_ = line_bytes_ = trailer_line_at_ = trailer_count_ = 0;
  trailer_text_.clear();
  trailers_.clear();
}

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view bytes) {
  Step step;
  while (step.consumed < bytes.size() && state_ < State::Done) {
    if (state_ != State::Data) {
      state_ = on_framing(bytes[step.consumed++]);
    } else if (step.data.empty()) {
      const std::size_t run = std::min<std::uint64_t>(left_, bytes.size() - step.consumed);
      step.data = bytes.substr(step.consumed, run);
      step.consumed += run;
      left_ -= run;
      if (left_ == 0) state_ = State::DataCr;
    } else {
      break;  // one piece at a time
    }
  }
  if (state_ >= State::Done) step.status = state_ == State::Done ? Status::Done : Status::Error;
  return step;
}

ChunkedDecoder::State ChunkedDecoder::on_framing(char byte) {
  switch (state_) {
    case State::DataCr:
      if (byte == '\r') return State::DataLf;
      return refuse(400, "Invalid chunk terminator is not '\\r\\n'");
    case State::DataLf:
      if (byte == '\n') return State::SizeStart;
      return refuse(400, "Invalid chunk terminator is not '\\r\\n'");
    case State::Trailer:
      return on_trailer(byte);
    default:
      break;
  }
  ++framing_bytes_;
  if (++line_bytes_ > Limits::kChunkLineBytesMax)
    return refuse(400, "Invalid chunk size: line too long");
  if (state_ == State::SizeLf)
    return byte == '\n' ? end_size_line() : refuse(400, "Invalid chunk size: bare CR");
  return state_ <= State::Size ? on_size(byte) : on_extension(byte);
}

ChunkedDecoder::State ChunkedDecoder::on_size(char byte) {
  if (const int value = hex_value(byte); value >= 0) {
    if (++digits_ > Limits::kChunkDigitsMax)
      return refuse(400, "Invalid chunk size: too many digits");
    left_ = left_ << 4 | static_cast<std::uint64_t>(value);
    return State::Size;
  }
  if (state_ == State::Size && (byte == '\r' || byte == ';' || is_space(byte))) return after(byte);
  return refuse(400,
                fmt::format("Invalid chunk size: byte 0x{:02x}", static_cast<std::uint8_t>(byte)));
}

// Behind a size, a value without quotes or a quoted one: the same may follow.
ChunkedDecoder::State ChunkedDecoder::after(char byte) {
  if (byte == '\r') return State::SizeLf;
  if (byte == ';') return State::ExtName;
  if (is_space(byte)) return State::BeforeSemi;
  return refuse(400, "Invalid chunk extension");
}

// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). Source: RFC 9112
// section 7.1.1.
ChunkedDecoder::State ChunkedDecoder::on_extension(char byte) {
  const bool token = in(kToken, byte);
  switch (state_) {
    case State::BeforeSemi:
      if (byte != '\r') return after(byte);
      break;
    case State::ExtName:
      if (token) return State::ExtNameMore;
      if (is_space(byte)) return state_;
      break;
    case State::ExtNameMore:
      if (token) return state_;
      if (byte == '=') return State::ExtValue;
      if (is_space(byte)) return State::BeforeEqual;
      return after(byte);
    case State::BeforeEqual:
      if (byte == '=') return State::ExtValue;
      if (is_space(byte)) return state_;
      if (byte == ';') return State::ExtName;
      break;
    case State::ExtValue:
      if (token) return State::ExtValueMore;
      if (byte == '"') return State::Quoted;
      if (is_space(byte)) return state_;
      break;
    case State::ExtValueMore:
      return token ? state_ : after(byte);
    default:
      return on_quoted(byte);
  }
  return refuse(400, "Invalid chunk extension");
}

ChunkedDecoder::State ChunkedDecoder::on_quoted(char byte) {
  if (state_ == State::QuotedEnd) return after(byte);
  if (!is_text(byte)) return refuse(400, "Invalid chunk extension");
  if (state_ == State::QuotedEscape) return State::Quoted;
  return byte == '"' ? State::QuotedEnd : byte == '\\' ? State::QuotedEscape : State::Quoted;
}

ChunkedDecoder::State ChunkedDecoder::end_size_line() {
  line_bytes_ = digits_ = 0;
  if (left_ == 0) return State::Trailer;
  // Tiny chunks are slow but honest; long extensions on each are not: they may not outweigh the
  // data.
  const std::uint64_t allowed =
      Limits::kChunkFramingFree + Limits::kChunkFramingPerByte * data_bytes_;
  if (framing_bytes_ > allowed)
    return refuse(400, "Invalid chunk extension: more framing than data");
  if (left_ > Limits::kBodyBytesMax - data_bytes_)
    return refuse(400, "Invalid chunk size: body too large");
  data_bytes_ += left_;
  return State::Data;
}

ChunkedDecoder::State ChunkedDecoder::on_trailer(char byte) {
  trailer_text_.push_back(byte);
  const std::size_t line = trailer_text_.size() - trailer_line_at_;
  if (trailer_text_.size() > trailer_bytes_max_ || line > trailer_line_max_) {
    return refuse(431, "Error parsing headers: 'limit request trailer section size'");
  }
  return byte == '\n' ? end_trailer_line() : State::Trailer;
}

// Lines are checked as they come; their fields are taken at the end, when trailer_text_ moves no
// more.
ChunkedDecoder::State ChunkedDecoder::end_trailer_line() {
  const char* at = trailer_text_.data() + trailer_line_at_;
  const char* const end = trailer_text_.data() + trailer_text_.size();
  if (std::string_view(at, end) == "\r\n") return end_trailers();
  if (++trailer_count_ > trailers_max_)
    return refuse(431, "Error parsing headers: 'limit request headers fields'");
  Field field;
  if (take_field_line(at, end, false, field) != FieldFault::None || at != end) {
    return refuse(400, "Invalid HTTP Header: trailer");
  }
  if (forbidden(field.name))
    return refuse(400, fmt::format("Invalid HTTP Header: trailer '{}'", field.name));
  trailer_line_at_ = trailer_text_.size();
  return State::Trailer;
}

ChunkedDecoder::State ChunkedDecoder::end_trailers() {
  const char* at = trailer_text_.data();
  const char* const end = at + trailer_line_at_;
  Field field;
  while (at != end && take_field_line(at, end, false, field) == FieldFault::None) {
    field.known = known_field(field.name);
    trailers_.push_back(field);
  }
  return State::Done;
}

ChunkedDecoder::State ChunkedDecoder::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  return State::Broken;
}

}  // namespace tricorn::http::h1
