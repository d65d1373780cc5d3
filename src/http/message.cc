#include "http/message.h"

#include <limits>

#include "http/h1/scan.h"

namespace tricorn::http {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view name_of(KnownField known) { return kFieldNames[static_cast<std::size_t>(known)]; }

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

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;
    decoded.push_back(escape ? static_cast<char>(hex(text[i + 1]) << 4 | hex(text[i + 2]))
                             : text[i]);
    if (escape) i += 2;
  }
  return decoded;
}

bool same_letters(const char* text, std::string_view lower) {
  for (std::size_t i = 0; i < lower.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower[i]) return false;
  }
  return true;
}

bool valid_field_name(std::string_view name) {
#if defined(__SSE2__)
  const auto letters = [](__m128i bytes) { return h1::letters_in(bytes) == 0xffffU; };
  if (name.size() >= 8 && h1::every_block(name, letters)) return true;
#endif
  return !name.empty() &&
         h1::skip_token(name.data(), name.data() + name.size()) == name.data() + name.size();
}

bool valid_field_value(std::string_view value) {
#if defined(__SSE2__)
  const auto none = [](__m128i bytes) { return h1::controls_in(bytes) == 0; };
  if (value.size() >= 8 && h1::every_block(value, none)) return true;
#endif
  const char* const end = value.data() + value.size();
  return h1::find_value_end(value.data(), end) == end;
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  constexpr std::size_t kDigitsMax = 19;  // always fit 64 bits
  if (value.empty() || value.size() > kDigitsMax) return std::nullopt;
  std::uint64_t length = 0;
  for (const char c : value) {
    if (!h1::is_digit(c)) return std::nullopt;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (length > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
  return length;
}

}  // namespace tricorn::http
