// Upper bounds of what a client may send, and the few rules that settings may loosen.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tricorn::http {

/// Bounds of one request. Defaults are Gunicorn's; names of the settings in brackets.
struct Limits {
  std::size_t request_line_bytes_max =
      4094;                            ///< [limit_request_line], without CRLF; 0: the cap below
  std::size_t fields_max = 100;        ///< [limit_request_fields]
  std::size_t field_bytes_max = 8190;  ///< [limit_request_field_size], one line with its CRLF

  bool permit_obsolete_folding = false;  ///< obs-fold becomes spaces: RFC 9112 section 5.2
  bool strip_header_spaces = false;      ///< "Name : value" is taken
  bool permit_unconventional_http_method = false;   ///< any token
  bool permit_unconventional_http_version = false;  ///< HTTP/d.d beyond 1.x
  bool casefold_http_method = false;                ///< methods are made upper case

  /// Longest request line there is, whatever the setting. Source: gunicorn.md section 1,
  /// limit_request_line.
  static constexpr std::size_t kRequestLineCap = 8190;
  /// Most fields there are, whatever the setting.
  static constexpr std::size_t kFieldsCap = 32768;
  /// Longest chunk-size line with its extensions, and digits of the size. Source: http-rules 4
  /// and 12.
  static constexpr std::size_t kChunkLineBytesMax = 1024;
  static constexpr std::size_t kChunkDigitsMax = 16;
  /// Bytes of size lines that may come for nothing, and per byte of data so far: a chunk of one
  /// byte with "1" CRLF needs 3, so only extensions meet this bound. Source: CVE-2023-39326, tests.
  static constexpr std::uint64_t kChunkFramingFree = 16384;
  static constexpr std::uint64_t kChunkFramingPerByte = 16;
  /// Longest body in bytes, so that whoever counts with a sign does not overflow.
  static constexpr std::uint64_t kBodyBytesMax = 0x7fff'ffff'ffff'ffff;
  /// Longest trailer section: it is kept in memory.
  static constexpr std::size_t kTrailerBytesMax = 65536;

  [[nodiscard]] std::size_t line_max() const {
    return request_line_bytes_max == 0 || request_line_bytes_max > kRequestLineCap
               ? kRequestLineCap
               : request_line_bytes_max;
  }
  [[nodiscard]] std::size_t fields_bound() const {
    return fields_max == 0 || fields_max > kFieldsCap ? kFieldsCap : fields_max;
  }
  [[nodiscard]] std::size_t field_bound() const {
    return field_bytes_max == 0 ? 8190 : field_bytes_max;
  }
  /// Longest whole head. Source: gunicorn.md section 6.1, "whole block".
  [[nodiscard]] std::size_t head_max() const {
    return line_max() + 2 + fields_bound() * (field_bound() + 2) + 4;
  }
};

}  // namespace tricorn::http
