#include "http/h1/known_fields.h"

#include <array>
#include <cstdint>

namespace tricorn::http::h1 {
namespace {

constexpr std::size_t kNameMax = 19;
constexpr std::size_t kPerLength = 5;

// Candidates by length, so that most names are compared with one or two.
struct Candidates {
  std::array<KnownField, kPerLength> fields{};
  std::size_t count = 0;
};

std::array<Candidates, kNameMax + 1> make_table() {
  std::array<Candidates, kNameMax + 1> table{};
  for (std::size_t i = 0; i < kKnownFields; ++i) {
    const auto known = static_cast<KnownField>(i);
    const std::size_t length = name_of(known).size();
    if (length > kNameMax) continue;
    Candidates& same = table[length];
    if (same.count < kPerLength) same.fields[same.count++] = known;
  }
  return table;
}

// Both are tokens: setting bit 5 folds letters and maps no token character onto another that occurs in a name.
bool same_name(std::string_view name, std::string_view known) {
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    difference |= static_cast<std::uint8_t>((name[i] | 0x20) ^ (known[i] | 0x20));
  }
  return difference == 0;
}

}  // namespace

KnownField known_field(std::string_view name) {
  static const auto table = make_table();
  if (name.size() > kNameMax) return KnownField::Other;
  const Candidates& same = table[name.size()];
  for (std::size_t i = 0; i < same.count; ++i) {
    if (same_name(name, name_of(same.fields[i]))) return same.fields[i];
  }
  return KnownField::Other;
}

}  // namespace tricorn::http::h1
