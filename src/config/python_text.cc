#include "config/python_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace tricorn::config {
namespace {

using Json = nlohmann::ordered_json;

std::string escaped(char c, char quote) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c == '\\' || c == quote) return {'\\', c};
  const auto byte = static_cast<unsigned char>(c);
  if (byte < 0x20 || byte == 0x7f) return fmt::format("\\x{:02x}", byte);
  return {c};
}

// The base a prefix names, 0 for none.
int base_of_prefix(std::string_view digits) {
  if (digits.size() < 2 || digits[0] != '0') return 0;
  switch (digits[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 0;
  }
}

// Digits without their underscores; nothing when one is at an end or beside another.
std::optional<std::string> without_underscores(std::string_view digits) {
  std::string plain;
  char before = '_';
  for (const char c : digits) {
    if (c == '_' && before == '_') return std::nullopt;
    if (c != '_') plain += c;
    before = c;
  }
  if (before == '_') return std::nullopt;
  return plain;
}

std::optional<std::int64_t> magnitude(std::string_view digits, int base) {
  const auto plain = without_underscores(digits);
  if (!plain || plain->empty() || plain->front() == '-') return std::nullopt;
  std::int64_t number = 0;
  const char* end = plain->data() + plain->size();
  const auto [stop, error] = std::from_chars(plain->data(), end, number, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// Length of the character whose first byte is `lead`, and what its second byte may be.
struct Utf8Lead {
  std::size_t bytes = 0;  // 0: no character begins so
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xbf;
};

Utf8Lead utf8_lead(unsigned char lead) {
  if (lead < 0x80) return {1};
  if (lead >= 0xc2 && lead <= 0xdf) return {2};
  if (lead == 0xe0) return {3, 0xa0, 0xbf};
  if (lead == 0xed) return {3, 0x80, 0x9f};
  if (lead >= 0xe1 && lead <= 0xef) return {3};
  if (lead == 0xf0) return {4, 0x90, 0xbf};
  if (lead == 0xf4) return {4, 0x80, 0x8f};
  if (lead >= 0xf1 && lead <= 0xf3) return {4};
  return {};
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Lead lead = utf8_lead(static_cast<unsigned char>(text[0]));
    if (lead.bytes == 0 || lead.bytes > text.size()) return false;
    for (std::size_t at = 1; at < lead.bytes; ++at) {
      const auto byte = static_cast<unsigned char>(text[at]);
      const bool second = at == 1;
      if (byte < (second ? lead.second_min : 0x80) || byte > (second ? lead.second_max : 0xbf))
        return false;
    }
    text.remove_prefix(lead.bytes);
  }
  return true;
}

std::string python_quoted(std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) out += escaped(c, quote);
  return out + quote;
}

std::string python_repr(const Json& value) {
  if (value.is_string()) return python_quoted(value.get_ref<const std::string&>());
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (!value.is_structured()) return value.dump();
  std::string out;
  for (const auto& [key, item] : value.items()) {
    if (!out.empty()) out += ", ";
    if (value.is_object()) out += python_quoted(key) + ": ";
    out += python_repr(item);
  }
  return value.is_array() ? "[" + out + "]" : "{" + out + "}";
}

std::string python_str(const Json& value) {
  return value.is_string() ? value.get<std::string>() : python_repr(value);
}

std::string_view python_type(const Json& value) {
  if (value.is_string()) return "str";
  if (value.is_null()) return "NoneType";
  if (value.is_boolean()) return "bool";
  if (value.is_number_float()) return "float";
  if (value.is_number()) return "int";
  return value.is_array() ? "list" : "dict";
}

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

std::optional<std::int64_t> python_int(std::string_view text, int base) {
  std::string_view digits = stripped(text);
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (base == 0) {
    base = base_of_prefix(digits);
    if (base != 0) {
      digits.remove_prefix(2);
      if (digits.starts_with('_')) digits.remove_prefix(1);
    } else {
      base = 10;
      const bool zero = digits.find_first_not_of("0_") == std::string_view::npos;
      if (digits.starts_with('0') && !zero) return std::nullopt;
    }
  }
  const auto number = magnitude(digits, base);
  if (!number) return std::nullopt;
  return negative ? -*number : *number;
}

}  // namespace tricorn::config
