// Byte scans of HTTP/1 heads: the only loops over every byte.
#pragma once

#include <array>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tricorn::http::h1 {

/// 1 for the bytes of a token. Source: RFC 9110 section 5.6.2.
inline constexpr std::array<std::uint8_t, 256> kToken = [] {
  std::array<std::uint8_t, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = 1;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = 1;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = 1;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<std::size_t>(c)] = 1;
  }
  return table;
}();

/// First byte that is no token character, or `end`.
[[nodiscard]] inline const char* skip_token(const char* at, const char* end) {
  while (at != end && kToken[static_cast<std::uint8_t>(*at)] != 0) ++at;
  return at;
}

/// First byte below 0x20 or equal to 0x7f, or `end`. Sixteen at a time where the machine can.
[[nodiscard]] inline const char* find_control(const char* at, const char* end) {
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(0x1f);
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // unsigned bytes <= 0x1f: min(bytes, 0x1f) == bytes
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes);
    const int found = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, del)));
    if (found != 0) return at + __builtin_ctz(static_cast<unsigned>(found));
    at += 16;
  }
#endif
  while (at != end && static_cast<std::uint8_t>(*at) >= 0x20 && *at != 0x7f) ++at;
  return at;
}

/// First byte outside 0x21..0x7e, or `end`: what a request target is made of.
[[nodiscard]] inline const char* skip_visible(const char* at, const char* end) {
#if defined(__SSE2__)
  const __m128i bound = _mm_set1_epi8(0x20);
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // signed compare: bytes of 0x80 and above are negative, hence not above 0x20
    const __m128i good = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, del), _mm_cmpgt_epi8(bytes, bound));
    const int bad = _mm_movemask_epi8(good) ^ 0xffff;
    if (bad != 0) return at + __builtin_ctz(static_cast<unsigned>(bad));
    at += 16;
  }
#endif
  while (at != end && static_cast<std::uint8_t>(*at) > 0x20 && static_cast<std::uint8_t>(*at) < 0x7f) ++at;
  return at;
}

}  // namespace tricorn::http::h1
