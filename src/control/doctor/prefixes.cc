#include "control/doctor/prefixes.h"

#include <algorithm>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

constexpr char kAnyLevel = '\x01';

// Length of the level that stands at `at` as a whole word, in capitals or not; 0 when none does.
std::size_t level_length(std::string_view text, std::size_t at) {
  if (at > 0 && is_word(text[at - 1])) return 0;
  std::size_t end = at;
  while (end < text.size() && is_word(text[end])) ++end;
  std::string word(text.substr(at, end - at));
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  for (const std::string_view level : {"debug", "info", "notice", "warn", "warning", "error",
                                       "critical", "fatal", "trace", "default"})
    if (word == level) return end - at;
  return 0;
}

std::size_t digits_length(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - at;
}

std::string shape_of(std::string_view prefix) {
  std::string shape;
  for (std::size_t at = 0; at < prefix.size();) {
    std::size_t used = digits_length(prefix, at);
    if (used > 0) {
      shape += '0';
    } else if (used = level_length(prefix, at); used > 0) {
      shape += kAnyLevel;
    } else {
      shape += prefix[at];
      used = 1;
    }
    at += used;
  }
  return shape;
}

// Bytes of `text` that have this shape; 0 when it does not begin so.
std::size_t match(std::string_view shape, std::string_view text) {
  std::size_t at = 0;
  for (const char c : shape) {
    if (at == text.size()) return 0;
    const std::size_t used = c == '0'         ? digits_length(text, at)
                             : c == kAnyLevel ? level_length(text, at)
                                              : static_cast<std::size_t>(text[at] == c);
    if (used == 0) return 0;
    at += used;
  }
  return at;
}

}  // namespace

std::optional<std::uint64_t> Prefixes::note(std::string_view prefix, std::uint64_t number) {
  // The quote belongs to one field of a table, not to the column before it.
  if (prefix.ends_with(",\"")) prefix.remove_suffix(1);
  if (trimmed(prefix).empty() || prefix.size() > kPrefixBytesMax) return std::nullopt;
  take_blanks(prefix);  // numbers of lines are set flush right
  std::string shape = shape_of(prefix);
  const auto known = std::find_if(shapes_.begin(), shapes_.end(),
                                  [&](const Shape& one) { return one.text == shape; });
  if (known != shapes_.end()) {
    if (known->believed) return std::nullopt;
    known->believed = any_believed_ = true;
    return known->first_line;
  }
  if (shapes_.size() == kPrefixesMax) {
    const auto doubted = std::find_if(shapes_.begin(), shapes_.end(),
                                      [](const Shape& one) { return !one.believed; });
    if (doubted == shapes_.end()) return std::nullopt;
    shapes_.erase(doubted);
  }
  shapes_.push_back({std::move(shape), number, false});
  return std::nullopt;
}

Prefixes::Found Prefixes::longest(std::string_view text) const {
  Found best;
  const std::size_t blanks = take_blanks(text);
  for (const Shape& shape : shapes_) {
    const std::size_t length = shape.believed ? match(shape.text, text) : 0;
    if (length == 0 || length + blanks <= best.length) continue;
    // Times and numbers name nobody.
    const bool named = everywhere_ && std::any_of(shape.text.begin(), shape.text.end(), is_letter);
    best = {length + blanks, named ? std::string_view(shape.text) : ""};
  }
  return best;
}

}  // namespace tricorn::control::doctor
