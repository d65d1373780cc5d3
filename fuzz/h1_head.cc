// Whole connections through head parser and chunked decoder: the same however they are cut, and
// what is accepted keeps the promises the rest of the server relies on.
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "cuts.h"
#include "http/h1/target.h"
#include "http/testing/replay.h"

namespace {

using namespace tricorn::http;

std::string describe(const RequestHead& head) {
  std::string text;
  const auto add = [&text](std::string_view part) { text.append(part).append("\n"); };
  for (const std::string_view part :
       {head.method_text, head.target, head.path, head.query, head.authority})
    add(part);
  add(std::to_string(head.version_minor) + std::to_string(head.head_bytes) + " " +
      std::to_string(head.content_length));
  add(std::string(head.chunked ? "c" : "") + (head.keep_alive ? "k" : "") +
      (head.expect_continue ? "e" : ""));
  for (const Field& field : head.fields)
    add(std::string(field.name) + ":" + std::string(field.value));
  return text;
}

void check_promises(const RequestHead& head, std::string_view bytes, const Limits& limits) {
  TRICORN_CHECK(head.head_bytes <= bytes.size() && head.head_bytes <= limits.head_max() + 2);
  TRICORN_CHECK(bytes.substr(0, head.head_bytes).ends_with("\r\n\r\n"));
  TRICORN_CHECK(valid_field_name(head.method_text) && !head.target.empty() && !head.path.empty());
  TRICORN_CHECK(head.fields.size() <= limits.fields_bound());
  TRICORN_CHECK(!(head.chunked && head.length) && head.content_length <= Limits::kBodyBytesMax);
  std::size_t hosts = 0;
  for (const Field& field : head.fields) {
    TRICORN_CHECK(valid_field_name(field.name) && valid_field_value(field.value));
    const bool named =
        field.known == KnownField::Other || field.name.size() == name_of(field.known).size();
    TRICORN_CHECK(named && equals_lower(field.name, "host") == (field.known == KnownField::Host));
    hosts += field.known == KnownField::Host ? 1 : 0;
    if (field.known == KnownField::Host) TRICORN_CHECK(h1::valid_host(field.value));
  }
  TRICORN_CHECK(hosts == 1 || (hosts == 0 && head.version_minor == 0));
}

// The outcome of one head, fed with ever longer copies: the buffer moves each time.
std::string outcome(const Limits& limits, const std::vector<std::string_view>& pieces) {
  h1::HeadParser parser(limits);
  std::string so_far;
  std::string moved;
  for (const std::string_view piece : pieces) {
    so_far.append(piece);
    moved.assign(1, ' ').append(so_far);
    const std::string_view here =
        std::string_view(so_far.size() % 2 == 0 ? so_far : moved).substr(so_far.size() % 2);
    switch (parser.feed(here)) {
      case h1::HeadParser::Status::NeedMore:
        continue;
      case h1::HeadParser::Status::Error:
        return "refused " + std::to_string(parser.refusal().status);
      case h1::HeadParser::Status::Done:
        check_promises(parser.head(), here, limits);
        return describe(parser.head());
    }
  }
  return "more";
}

std::string replay(const Limits& limits, const std::vector<std::string_view>& pieces) {
  testing::Replay connection(limits);
  for (const std::string_view piece : pieces) connection.receive(piece);
  return connection.transcript();
}

void try_with(const Limits& limits, std::string_view bytes) {
  const std::vector<std::string_view> whole{bytes};
  for (const auto& pieces :
       {tricorn::fuzz::single_bytes(bytes), tricorn::fuzz::random_pieces(bytes)}) {
    TRICORN_CHECK(outcome(limits, whole) == outcome(limits, pieces));
    TRICORN_CHECK(replay(limits, whole) == replay(limits, pieces));
  }
}

Limits small_and_loose() {
  Limits limits;
  limits.request_line_bytes_max = 40;
  limits.fields_max = 4;
  limits.field_bytes_max = 32;
  limits.permit_obsolete_folding = limits.strip_header_spaces = limits.casefold_http_method = true;
  limits.permit_unconventional_http_method = limits.permit_unconventional_http_version = true;
  return limits;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  try_with(Limits{}, input);
  try_with(small_and_loose(), input);
  return 0;
}
