// Ways to cut an input, so that a parser can be shown to understand it alike however it arrives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tricorn::fuzz {

/// Pieces of pseudo-random length 1..16, the same for the same input.
inline std::vector<std::string_view> random_pieces(std::string_view bytes) {
  std::uint32_t state = 0x9e3779b9U ^ static_cast<std::uint32_t>(bytes.size());
  std::vector<std::string_view> pieces;
  while (!bytes.empty()) {
    state = state * 1664525U + 1013904223U + static_cast<std::uint8_t>(bytes.front());
    const std::string_view piece = bytes.substr(0, 1 + (state >> 28));
    pieces.push_back(piece);
    bytes.remove_prefix(piece.size());
  }
  return pieces;
}

inline std::vector<std::string_view> single_bytes(std::string_view bytes) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < bytes.size(); ++i) pieces.push_back(bytes.substr(i, 1));
  return pieces;
}

}  // namespace tricorn::fuzz
