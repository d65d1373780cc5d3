#include "http/h1/framing.h"

#include <fmt/format.h>

#include <cstring>

#include "http/h1/scan.h"
#include "http/h1/target.h"

namespace tricorn::http::h1 {
namespace {

[[gnu::cold]] bool refuse(Refusal& refusal, int status, std::string message) {
  refusal = {status, std::move(message)};
  return false;
}

[[gnu::cold]] bool bad_field(Refusal& refusal, std::string_view upper_name) {
  return refuse(refusal, 400, fmt::format("Invalid HTTP Header: '{}'", upper_name));
}

bool valid_host_or_same(std::string_view host, HostMemo& memo) {
  if (host.size() == memo.size && std::memcmp(host.data(), memo.bytes, host.size()) == 0)
    return true;
  if (!valid_host(host)) return false;
  if (host.size() <= HostMemo::kBytesMax) {
    std::memcpy(memo.bytes, host.data(), host.size());
    memo.size = host.size();
  }
  return true;
}

// RFC 9112 section 3.2: exactly one Host in HTTP/1.1, never two, never an invalid one.
bool check_host(const RequestHead& head, const FieldsSeen& seen, HostMemo& memo, Refusal& refusal) {
  if (!seen.once.has(KnownField::Host))
    return head.version_minor == 0 || bad_field(refusal, "HOST");
  if (seen.again.has(KnownField::Host)) return bad_field(refusal, "HOST");
  return valid_host_or_same(head.find(KnownField::Host)->value, memo) || bad_field(refusal, "HOST");
}

// The transfer codings of a request, over all its Transfer-Encoding fields.
struct Codings {
  std::string_view last_field;
  unsigned chunked = 0;
  bool chunked_last = false;
  bool others = false;
  bool empty = false;  // an empty list member: where peers disagree
  bool unknown = false;
};

Codings read_codings(const RequestHead& head) {
  Codings codings;
  for (const Field& field : head.fields) {
    if (field.known != KnownField::TransferEncoding) continue;
    codings.last_field = field.value;
    for_each_member(field.value, [&codings](std::string_view coding) {
      codings.chunked_last = equals_lower(coding, "chunked");
      codings.chunked += codings.chunked_last ? 1 : 0;
      codings.others |= !codings.chunked_last;
      codings.empty |= coding.empty();
      codings.unknown |= !codings.chunked_last && !equals_lower(coding, "gzip") &&
                         !equals_lower(coding, "deflate") && !equals_lower(coding, "compress") &&
                         !equals_lower(coding, "identity");
    });
  }
  return codings;
}

// RFC 9112 sections 6.1 and 6.3: chunked last and once, not in HTTP/1.0. Codings before it are
// passed on undecoded, as Gunicorn does, and end the connection.
bool check_transfer_coding(RequestHead& head, Refusal& refusal) {
  const Codings codings = read_codings(head);
  if (!codings.chunked_last || codings.chunked != 1 || codings.empty || head.version_minor == 0) {
    return bad_field(refusal, "TRANSFER-ENCODING");
  }
  if (codings.unknown) {
    return refuse(refusal, 501,
                  fmt::format("Unsupported transfer coding: '{}'", codings.last_field));
  }
  head.chunked = true;
  head.must_close = codings.others;
  return true;
}

bool check_length(RequestHead& head, const FieldsSeen& seen, Refusal& refusal) {
  head.length = parse_content_length(head.find(KnownField::ContentLength)->value);
  if (!head.length || head.chunked || seen.again.has(KnownField::ContentLength)) {
    return bad_field(refusal, "CONTENT-LENGTH");
  }
  head.content_length = *head.length;
  return true;
}

bool check_expect(RequestHead& head, Refusal& refusal) {
  if (head.version_minor == 0) return true;  // ignored: RFC 9110 section 10.1.1
  for (const Field& field : head.fields) {
    if (field.known != KnownField::Expect) continue;
    if (!equals_lower(field.value, "100-continue")) {
      return refuse(refusal, 417,
                    fmt::format("Unable to comply with expectation: '{}'", field.value));
    }
    head.expect_continue = true;
  }
  return true;
}

struct Wishes {
  bool close = false;
  bool keep_alive = false;
};

// Every member of every Connection field counts: RFC 9112 section 9.3.
Wishes read_wishes(const RequestHead& head) {
  Wishes wishes;
  for (const Field& field : head.fields) {
    if (field.known != KnownField::Connection) continue;
    for_each_member(field.value, [&wishes](std::string_view option) {
      wishes.close |= equals_lower(option, "close");
      wishes.keep_alive |= equals_lower(option, "keep-alive");
    });
  }
  return wishes;
}

void decide_keep_alive(RequestHead& head, const FieldsSeen& seen) {
  const Wishes wishes = seen.once.has(KnownField::Connection) ? read_wishes(head) : Wishes{};
  const bool wanted = !wishes.close && (head.version_minor >= 1 || wishes.keep_alive);
  head.keep_alive = wanted && !head.must_close && head.method != Method::Connect;
}

}  // namespace

bool check_framing(RequestHead& head, const FieldsSeen& seen, HostMemo& memo, Refusal& refusal) {
  if (!check_host(head, seen, memo, refusal)) return false;
  if (seen.again.has(KnownField::ContentType)) return bad_field(refusal, "CONTENT-TYPE");
  if (seen.once.has(KnownField::TransferEncoding) && !check_transfer_coding(head, refusal))
    return false;
  if (seen.once.has(KnownField::ContentLength) && !check_length(head, seen, refusal)) return false;
  if (seen.once.has(KnownField::Expect) && !check_expect(head, refusal)) return false;
  decide_keep_alive(head, seen);
  return true;
}

}  // namespace tricorn::http::h1
