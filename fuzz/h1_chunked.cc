// A chunked body: the same however it is cut, and what is accepted means the same to a second
// reading that knows nothing of states: it searches for line ends.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "cuts.h"
#include "http/h1/chunked.h"

namespace {

using namespace tricorn::http;

struct Outcome {
  h1::ChunkedDecoder::Status status = h1::ChunkedDecoder::Status::More;
  std::string body;
  std::size_t consumed = 0;
  std::string trailers;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(const Limits& limits, const std::vector<std::string_view>& pieces) {
  h1::ChunkedDecoder decoder(limits);
  Outcome outcome;
  for (std::string_view piece : pieces) {
    while (!piece.empty() && outcome.status == h1::ChunkedDecoder::Status::More) {
      const auto step = decoder.feed(piece);
      TRICORN_CHECK(step.consumed > 0 && step.consumed <= piece.size());
      outcome.status = step.status;
      outcome.body.append(step.data);
      outcome.consumed += step.consumed;
      piece.remove_prefix(step.consumed);
    }
  }
  for (const Field& field : decoder.trailers()) {
    TRICORN_CHECK(valid_field_name(field.name) && valid_field_value(field.value));
    outcome.trailers.append(field.name).append(":").append(field.value).append("\n");
  }
  return outcome;
}

// The plain reading of RFC 9112 section 7.1.3, for bodies that were accepted.
std::optional<std::string> naive(std::string_view bytes) {
  std::string body;
  for (;;) {
    const std::size_t line_end = bytes.find("\r\n");
    if (line_end == std::string_view::npos) return std::nullopt;
    const std::uint64_t size = std::stoull(std::string(bytes.substr(0, line_end)), nullptr, 16);
    bytes.remove_prefix(line_end + 2);
    if (size == 0) return body;
    if (bytes.size() < size + 2 || bytes.substr(size, 2) != "\r\n") return std::nullopt;
    body.append(bytes.substr(0, size));
    bytes.remove_prefix(size + 2);
  }
}

void try_with(const Limits& limits, std::string_view bytes) {
  const Outcome whole = decode(limits, {bytes});
  TRICORN_CHECK(whole == decode(limits, tricorn::fuzz::single_bytes(bytes)));
  TRICORN_CHECK(whole == decode(limits, tricorn::fuzz::random_pieces(bytes)));
  if (whole.status != h1::ChunkedDecoder::Status::Done) return;
  TRICORN_CHECK(naive(bytes.substr(0, whole.consumed)) == whole.body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (input.empty()) return 0;
  Limits small;
  small.fields_max = 2;
  small.field_bytes_max = 16;
  try_with(Limits{}, input);
  try_with(small, input);
  return 0;
}
