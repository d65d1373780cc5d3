#include "http/message.h"

#include <array>

#include "http/h1/scan.h"

namespace tricorn::http {
namespace {

constexpr std::array<std::string_view, kKnownFields> kNames{
    "Accept",       "Accept-Charset", "Accept-Encoding", "Accept-Language",   "Authorization",   "Cache-Control",
    "Connection",   "Content-Length", "Content-Type",    "Cookie",            "Expect",          "Forwarded",
    "Host",         "If-Modified-Since", "If-None-Match", "Keep-Alive",       "Origin",          "Pragma",
    "Range",        "Referer",        "TE",              "Transfer-Encoding", "Upgrade",         "User-Agent",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",  "X-Request-ID",    "X-Requested-With"};

}  // namespace

std::string_view name_of(KnownField known) { return kNames[static_cast<std::size_t>(known)]; }

const Field* RequestHead::find(KnownField known) const {
  for (const Field& field : fields) {
    if (field.known == known) return &field;
  }
  return nullptr;
}

const Field* RequestHead::find(std::string_view name) const {
  for (const Field& field : fields) {
    if (equals_lower(field.name, name)) return &field;
  }
  return nullptr;
}

bool equals_lower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower[i]) return false;
  }
  return true;
}

bool valid_field_name(std::string_view name) {
  return !name.empty() && h1::skip_token(name.data(), name.data() + name.size()) == name.data() + name.size();
}

bool valid_field_value(std::string_view value) {
  const char* end = value.data() + value.size();
  for (const char* at = value.data();; ++at) {
    at = h1::find_control(at, end);
    if (at == end) return true;
    if (*at != '\t') return false;
  }
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  if (value.empty() || value.size() > 19) return std::nullopt;  // 19 digits always fit 64 bits
  std::uint64_t length = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return length;
}

}  // namespace tricorn::http
