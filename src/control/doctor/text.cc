#include "control/doctor/text.h"

#include <algorithm>
#include <cctype>

namespace tricorn::control::doctor {

std::size_t take_blanks(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(end);
  return end;
}

std::optional<std::int64_t> take_number(std::string_view& text, int digits_max) {
  std::size_t used = 0;
  std::int64_t value = 0;
  while (used < text.size() && is_digit(text[used])) {
    if (static_cast<int>(used) == digits_max) return std::nullopt;
    value = value * 10 + (text[used++] - '0');
  }
  if (used == 0) return std::nullopt;
  text.remove_prefix(used);
  return value;
}

std::string_view take_token(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view token = text.substr(0, end);
  text.remove_prefix(end);
  return token;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

namespace {

// Length of an IPv4 address at `at`, with its port; 0 when there is none.
std::size_t ipv4_length(std::string_view text, std::size_t at) {
  if (at > 0 && (is_word(text[at - 1]) || text[at - 1] == '.')) return 0;
  std::string_view rest = text.substr(at);
  for (int part = 0; part < 4; ++part) {
    const auto number = take_number(rest, 3);
    if (!number || *number > 255) return 0;
    if (part < 3 && !take(rest, ".")) return 0;
  }
  if (!rest.empty() &&
      (is_word(rest[0]) || (rest[0] == '.' && rest.size() > 1 && is_digit(rest[1])))) {
    return 0;
  }
  std::string_view port = rest;
  if (take(port, ":") && take_number(port, 5)) rest = port;
  return text.size() - at - rest.size();
}

// Length of an IPv6 address at `at`: at least two colons among hexadecimal digits, or "::".
std::size_t ipv6_length(std::string_view text, std::size_t at) {
  if (at > 0 && (is_word(text[at - 1]) || text[at - 1] == ':')) return 0;
  std::size_t end = at;
  std::size_t colons = 0;
  std::size_t group = 0;
  bool doubled = false;
  for (; end < text.size() && end - at < 45; ++end) {
    if (text[end] == ':') {
      ++colons;
      doubled |= end > at && text[end - 1] == ':';
      group = 0;
    } else if (std::isxdigit(static_cast<unsigned char>(text[end])) != 0) {
      if (++group > 4) return 0;
    } else {
      break;
    }
  }
  const bool address = colons == 7 || (doubled && colons >= 2 && end - at > 2);
  return address ? end - at : 0;
}

// Length of the query string that begins at the '?' at `at`.
std::size_t query_length(std::string_view text, std::size_t at) {
  if (at == 0 || (!is_word(text[at - 1]) && text[at - 1] != '/')) return 0;
  const std::size_t end = std::min(text.find_first_of(" \"'\t)>", at), text.size());
  return end - at > 1 ? end - at : 0;
}

}  // namespace

std::string printable_part(std::string_view text, std::size_t bytes_max) {
  std::string out;
  for (std::size_t at = 0; at < text.size() && out.size() < bytes_max;) {
    const char c = text[at];
    if (const std::size_t query = c == '?' ? query_length(text, at) : 0; query > 0) {
      at += query;
      continue;
    }
    std::size_t address = is_digit(c) ? ipv4_length(text, at) : 0;
    if (address == 0 && (c == ':' || std::isxdigit(static_cast<unsigned char>(c)) != 0))
      address = ipv6_length(text, at);
    if (address > 0) {
      out += "[address]";
      at += address;
      continue;
    }
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    ++at;
  }
  if (out.size() < bytes_max) return out;
  out.resize(bytes_max);
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0U) == 0x80U) out.pop_back();
  if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0U) out.pop_back();
  return out + "…";
}

}  // namespace tricorn::control::doctor
