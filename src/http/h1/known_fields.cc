#include "http/h1/known_fields.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace tricorn::http::h1 {
namespace {

constexpr std::size_t kBuckets = 128;
constexpr std::size_t kNameMax = 24;

constexpr std::uint8_t folded(char c) { return static_cast<std::uint8_t>(c) | 0x20; }

// 1 and 7: the smallest factors without a collision among kKnownFields (the table's maker checks
// it).
constexpr std::size_t bucket_of(std::string_view name) {
  return (name.size() + std::size_t{7} * folded(name.front()) + folded(name.back())) % kBuckets;
}

struct Entry {
  KnownField field = KnownField::Other;
  std::uint8_t size = 0;
  std::array<char, kNameMax> lower{};
};

// Fails to compile when two names share a bucket.
constexpr std::array<Entry, kBuckets> make_table() {
  std::array<Entry, kBuckets> table{};
  for (std::size_t i = 0; i < kKnownFields; ++i) {
    const std::string_view name = kFieldNames[i];
    Entry& entry = table[bucket_of(name)];
    if (entry.size != 0 || name.size() > kNameMax) throw "two known fields in one bucket";
    entry.field = static_cast<KnownField>(i);
    entry.size = static_cast<std::uint8_t>(name.size());
    for (std::size_t at = 0; at < name.size(); ++at)
      entry.lower[at] = static_cast<char>(folded(name[at]));
  }
  return table;
}
constexpr std::array<Entry, kBuckets> kTable = make_table();

template <class Word>
Word difference_at(const char* name, const char* lower, std::size_t offset) {
  constexpr auto kFold = static_cast<Word>(0x2020202020202020U);
  Word a;
  Word b;
  std::memcpy(&a, name + offset, sizeof a);
  std::memcpy(&b, lower + offset, sizeof b);
  return (a | kFold) ^ b;
}

// Setting bit 5 folds letters, and takes no other token character to a letter or '-': no name is
// mistaken. The last word overlaps the one before, so that nothing behind the name is read.
bool same_name(const char* name, const char* lower, std::size_t size) {
  if (size >= 8) {
    std::uint64_t difference = difference_at<std::uint64_t>(name, lower, size - 8);
    for (std::size_t at = 0; at + 8 < size; at += 8)
      difference |= difference_at<std::uint64_t>(name, lower, at);
    return difference == 0;
  }
  if (size >= 4) {
    return (difference_at<std::uint32_t>(name, lower, 0) |
            difference_at<std::uint32_t>(name, lower, size - 4)) == 0;
  }
  return size == 2 && difference_at<std::uint16_t>(name, lower, 0) == 0;
}

}  // namespace

KnownField known_field(std::string_view name) {
  const Entry& entry = kTable[bucket_of(name)];
  if (entry.size != name.size() || !same_name(name.data(), entry.lower.data(), name.size()))
    return KnownField::Other;
  return entry.field;
}

}  // namespace tricorn::http::h1
