// The one table of settings, as data: what each is called, accepts, defaults to and means.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tricorn::config {

/// The type of a setting's value in Settings, and how the command line reads its word.
enum class Kind : std::uint8_t {
  Count,      ///< int64, at most 2^31-1; the command line takes a decimal number
  Large,      ///< int64; the command line takes a decimal number
  Seconds,    ///< std::chrono::seconds, at most 2^31-1
  Mode,       ///< int64; on the command line 0NNN is octal
  Untyped,    ///< int64; the command line passes its word on unread
  Flag,       ///< bool, turned on by its flag
  FlagOff,    ///< bool, turned off by its flag
  Text,       ///< string or none
  Word,       ///< string, never none
  Directory,  ///< absolute path; default: the working directory
  User,       ///< user id; default: the effective one
  Group,      ///< group id; default: the effective one
  List,       ///< list of strings; its flag may be repeated
  CommaList,  ///< list of strings, written as one string with commas
  Mapping,    ///< string to string
  Tree,       ///< any dictionary, kept as JSON text
  Hook,       ///< a callable, held by Python: no value here
};

/// What a setting accepts. Gunicorn's validators under their own names, then ours.
enum class Check : std::uint8_t {
  PosInt,
  Bool,
  String,
  ListString,
  ListOfFilesOrPatterns,
  StringToList,
  StringToAddrList,
  Class,
  Callable,
  PostRequest,
  User,
  Group,
  Chdir,
  Dict,
  StatsdAddress,
  ReloadEngine,
  ProxyProtocol,
  SslVersion,
  HttpProtocols,
  Http2Cleartext,
  Http2StreamLimit,
  Http2WindowSize,
  Http2FrameSize,
  HeaderMapBehaviour,
  AsgiLoop,
  AsgiLifespan,
  HttpParser,
  WorkerClass,    ///< the worker classes that exist here
  Paste,          ///< none but null
  LogFormat,      ///< text or json
  TimeoutStatus,  ///< 500 or by-cause
  ClientSeconds,  ///< PosInt that fits milliseconds in an int
  AnySeconds,     ///< none, or seconds with a fraction, kept as text
  ByteSize,       ///< bytes, or a number with K, M or G behind it
};

/// The section of the settings that Gunicorn does not have.
inline constexpr std::string_view kOwnSection = "Tricorn";

/// One row of settings.def.
struct Setting {
  std::string_view name;
  Kind kind;
  std::string_view default_json;  ///< as a configuration file would give it; "null": see Kind
  std::string_view flags;         ///< "-w --workers"; empty: configuration file only
  std::string_view metavar;       ///< name of the flag's value in --help; of a hook: its parameters
  std::string_view section;
  Check check;
  std::string_view lacks;    ///< empty: it acts; else what it does not do
  std::string_view meaning;  ///< sentences for people
};

/// All settings in Gunicorn's order, ours last.
[[nodiscard]] std::span<const Setting> settings();

/// The setting of that name, null when there is none.
[[nodiscard]] const Setting* find_setting(std::string_view name);

}  // namespace tricorn::config
