// Byte scans of HTTP/1: the only loops over every byte. Sixteen bytes at a time where the machine
// can (SSE2 is part of x86-64), one at a time elsewhere and near the end of the buffer: nothing is
// read behind `end`.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tricorn::http::h1 {

using ByteSet = std::array<std::uint8_t, 256>;

/// A table with 1 for letters, digits and the bytes of `more`.
[[nodiscard]] constexpr ByteSet alphanumeric_and(std::string_view more) {
  ByteSet set{};
  for (int c = '0'; c <= '9'; ++c) set[static_cast<std::size_t>(c)] = 1;
  for (int c = 'a'; c <= 'z'; ++c) set[static_cast<std::size_t>(c)] = 1;
  for (int c = 'A'; c <= 'Z'; ++c) set[static_cast<std::size_t>(c)] = 1;
  for (const char c : more) set[static_cast<std::uint8_t>(c)] = 1;
  return set;
}

/// Bytes of a token. Source: RFC 9110 section 5.6.2.
inline constexpr ByteSet kToken = alphanumeric_and("!#$%&'*+-.^_`|~");

[[nodiscard]] inline bool in(const ByteSet& set, char c) {
  return set[static_cast<std::uint8_t>(c)] != 0;
}
[[nodiscard]] inline bool is_space(char c) {
  return c == ' ' || c == '\t';
}  ///< OWS: RFC 9110 section 5.6.3
[[nodiscard]] inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// First byte outside `set`, or `end`.
[[nodiscard]] inline const char* skip(const ByteSet& set, const char* at, const char* end) {
  while (at != end && in(set, *at)) ++at;
  return at;
}

#if defined(__SSE2__)
/// One bit for each letter or '-'.
[[nodiscard]] inline unsigned letters_in(__m128i bytes) {
  const __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
  const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
  return static_cast<unsigned>(
      _mm_movemask_epi8(_mm_or_si128(is_letter, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')))));
}

/// One bit for each byte below 0x20 or equal to 0x7f.
[[nodiscard]] inline unsigned controls_in(__m128i bytes) {
  // unsigned bytes <= 0x1f: min(bytes, 0x1f) == bytes
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  return static_cast<unsigned>(
      _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)))));
}

/// Whether `block` holds for 16 bytes at a time of a text of 8 bytes or more. Blocks overlap, so
/// that nothing outside the text is read.
template <class Block>
[[nodiscard]] inline bool every_block(std::string_view text, Block block) {
  const char* at = text.data();
  if (text.size() < 16) {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    const __m128i last = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + text.size() - 8));
    return block(_mm_unpacklo_epi64(first, last));
  }
  const char* const last = at + text.size() - 16;
  for (; at < last; at += 16) {
    if (!block(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))) return false;
  }
  return block(_mm_loadu_si128(reinterpret_cast<const __m128i*>(last)));
}
#endif

/// First byte that is no token character, or `end`.
[[nodiscard]] inline const char* skip_token(const char* at, const char* end) {
#if defined(__SSE2__)
  if (end - at >= 16) {  // letters and '-' at once; what else a token may have is left to the table
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const unsigned others = letters_in(bytes) ^ 0xffffU;
    at += others == 0 ? 16 : std::countr_zero(others);
  }
#endif
  return skip(kToken, at, end);
}

/// First byte below 0x20 or equal to 0x7f, or `end`.
[[nodiscard]] inline const char* find_control(const char* at, const char* end) {
#if defined(__SSE2__)
  while (end - at >= 16) {
    const unsigned found = controls_in(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    if (found != 0) return at + std::countr_zero(found);
    at += 16;
  }
#endif
  while (at != end && static_cast<std::uint8_t>(*at) >= 0x20 && *at != 0x7f) ++at;
  return at;
}

/// First byte that may not stand in a field value, or `end`: CR of a good line, or a control other
/// than HTAB. Source: RFC 9110 section 5.5.
[[nodiscard]] inline const char* find_value_end(const char* at, const char* end) {
  at = find_control(at, end);
  while (at != end && *at == '\t') at = find_control(at + 1, end);
  return at;
}

/// True when CR LF stands at `at`.
[[nodiscard]] inline bool at_crlf(const char* at, const char* end) {
  return end - at >= 2 && std::memcmp(at, "\r\n", 2) == 0;
}

/// What was found while a request target was read.
struct TargetScan {
  const char* end = nullptr;       ///< first byte outside 0x21..0x7e
  const char* question = nullptr;  ///< first '?', or null
  bool fragment = false;           ///< there is a '#'
};

/// Reads a request target: visible ASCII, one pass.
[[nodiscard]] inline TargetScan scan_target(const char* at, const char* end) {
  TargetScan found;
#if defined(__SSE2__)
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // signed compare: bytes of 0x80 and above are negative, hence not above 0x20
    const __m128i good = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)),
                                          _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x20)));
    const auto bad = static_cast<unsigned>(_mm_movemask_epi8(good)) ^ 0xffffU;
    const unsigned before =
        bad == 0 ? 0xffffU : (bad & -bad) - 1;  // bytes before the first bad one
    const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('?')),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
    if (const unsigned marked = static_cast<unsigned>(_mm_movemask_epi8(marks)) & before;
        marked != 0) {
      const auto question =
          static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('?')))) &
          before;
      if (question != 0 && found.question == nullptr)
        found.question = at + std::countr_zero(question);
      found.fragment |= question != marked;
    }
    if (bad != 0) {
      found.end = at + std::countr_zero(bad);
      return found;
    }
    at += 16;
  }
#endif
  for (;
       at != end && static_cast<std::uint8_t>(*at) > 0x20 && static_cast<std::uint8_t>(*at) < 0x7f;
       ++at) {
    if (*at == '?' && found.question == nullptr) found.question = at;
    found.fragment |= *at == '#';
  }
  found.end = at;
  return found;
}

/// The text without OWS at both ends.
[[nodiscard]] inline std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `each` for the members of a comma-separated list, the empty ones too. RFC 9110
/// section 5.6.1.
template <class Each>
void for_each_member(std::string_view list, Each each) {
  for (;;) {
    const std::size_t comma = list.find(',');
    each(trim(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace tricorn::http::h1
