#include "config/check.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "config/addresses.h"
#include "config/python_text.h"

namespace tricorn::config {
namespace {

using Outcome = base::Result<Layer>;

// A value the configuration file gave that JSON cannot carry.
bool is_foreign(const Layer& value) {
  return value.is_object() && value.size() == 1 && value.contains("!");
}

// Largest value of kinds other than Large: what the rest of the program keeps in 32 bits.
constexpr std::int64_t kCountMax = 2147483647;
// Largest client time-out in seconds: its milliseconds must fit an int.
constexpr std::int64_t kClientSecondsMax = 2000000;

std::string stripped_text(const Layer& value) {
  return std::string(stripped(value.get_ref<const std::string&>()));
}

Outcome at_most(Layer number, std::int64_t most) {
  if (number.get<std::int64_t>() <= most) return number;
  return base::fail(fmt::format("Value must be at most {}: {}", most, number.get<std::int64_t>()));
}

Outcome integer(const Layer& value) {
  if (value.is_boolean()) return Layer(value.get<bool>() ? 1 : 0);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) {
    return base::fail(fmt::format("Value must be at most {}: {}", INT64_MAX, value.dump()));
  }
  if (value.is_number_integer()) return value;
  if (!value.is_string()) return base::fail("int() can't convert non-string with explicit base");
  if (const auto number = python_int(value.get_ref<const std::string&>(), 0)) return Layer(*number);
  return base::fail(fmt::format("invalid literal for int() with base 0: {}", python_repr(value)));
}

Outcome pos_int(Kind kind, const Layer& value) {
  auto number = integer(value);
  if (!number) return number;
  if (number->get<std::int64_t>() < 0) {
    return base::fail(fmt::format("Value must be positive: {}", number->get<std::int64_t>()));
  }
  return kind == Kind::Large ? number : at_most(std::move(*number), kCountMax);
}

Outcome client_seconds(const Layer& value) {
  auto seconds = pos_int(Kind::Large, value);
  return seconds ? at_most(std::move(*seconds), kClientSecondsMax) : seconds;
}

Outcome stream_limit(const Layer& value) {
  auto number = pos_int(Kind::Large, value);
  if (!number) return number;
  if (*number == 0) return base::fail("HTTP/2 max concurrent streams must be at least 1: 0");
  return at_most(std::move(*number), kCountMax);
}

// Source: RFC 9113 section 6.9.1, a window is at most 2^31-1.
Outcome window_size(const Layer& value) {
  auto number = pos_int(Kind::Large, value);
  if (!number || number->get<std::int64_t>() <= kCountMax) return number;
  return base::fail(
      fmt::format("HTTP/2 window size must be at most {}: {}", kCountMax, number->dump()));
}

// Source: RFC 9113 section 4.2, 2^14 to 2^24-1.
Outcome frame_size(const Layer& value) {
  auto number = integer(value);
  if (!number) return number;
  const auto bytes = number->get<std::int64_t>();
  if (bytes >= 16384 && bytes <= 16777215) return number;
  return base::fail(
      fmt::format("http2_max_frame_size must be between 16384 and 16777215, got {}", bytes));
}

Outcome boolean(Kind kind, const Layer& value) {
  if (value.is_boolean()) return value;
  if (value.is_null()) return Layer(kind == Kind::FlagOff);
  if (!value.is_string())
    return base::fail(fmt::format("Invalid type for casting: {}", python_str(value)));
  const std::string text = lowered(stripped(value.get_ref<const std::string&>()));
  if (text == "true" || text == "false") return Layer(text == "true");
  return base::fail(fmt::format("Invalid boolean: {}", python_str(value)));
}

Outcome string(const Layer& value) {
  if (value.is_null()) return value;
  if (!value.is_string()) return base::fail(fmt::format("Not a string: {}", python_str(value)));
  return Layer(stripped(value.get_ref<const std::string&>()));
}

Outcome list_of(const Layer& value, Outcome (*element)(const Layer&)) {
  if (value.is_null() || value == "" || value == 0 || value == false) return Layer::array();
  if (value.is_number() || value.is_boolean()) {
    return base::fail(fmt::format("'{}' object is not iterable", python_type(value)));
  }
  const Layer elements = value.is_string() ? Layer::array({value}) : value;
  Layer items = Layer::array();
  for (const auto& [key, item] : elements.items()) {
    auto one = element(value.is_object() ? Layer(key) : item);
    if (!one) return one;
    items.push_back(std::move(*one));
  }
  return items;
}

/// What the kernel reads of a name with a NUL byte is another name.
bool has_nul(const std::string& name) { return name.find('\0') != std::string::npos; }

Outcome file_or_pattern(const Layer& value) {
  auto name = string(value);
  if (!name) return name;
  if (name->is_null()) return base::fail("expected string or bytes-like object, got 'NoneType'");
  const auto& path = name->get_ref<const std::string&>();
  const bool exists = !has_nul(path) && ::access(path.c_str(), F_OK) == 0;
  if (exists || path.find_first_of("*?[") != std::string::npos) return name;
  return base::fail(fmt::format("File {} does not exists.", path));  // Gunicorn's words
}

// "a, b" without empty elements.
Outcome split_at_commas(const Layer& value) {
  auto text = string(value);
  if (!text) return text;
  Layer items = Layer::array();
  if (text->is_null()) return items;
  for (std::string_view rest = text->get_ref<const std::string&>(); !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = stripped(rest.substr(0, comma));
    if (!item.empty()) items.push_back(item);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return items;
}

Outcome address_list(const Layer& value) {
  auto items = split_at_commas(value);
  if (!items) return items;
  for (Layer& item : *items) {
    if (item == "*") continue;
    auto network = network_from(item.get_ref<const std::string&>());
    if (!network) return base::Unexpected{network.error()};
    item = std::move(*network);
  }
  return items;
}

Outcome dictionary(Kind kind, const Layer& value) {
  if (!value.is_object()) {
    return base::fail(
        fmt::format("Value is not a dictionary: {} ", python_str(value)));  // with the blank
  }
  if (kind == Kind::Tree) return value;
  for (const Layer& item : value) {
    if (!item.is_string()) return base::fail(fmt::format("Not a string: {}", python_str(item)));
  }
  return value;
}

// Gunicorn keeps symbolic links in the path, for deployments that swap them.
std::string working_directory() {
  const char* shown = std::getenv("PWD");
  struct stat by_name {
  }, by_dot{};
  if (shown != nullptr && *shown == '/' && ::stat(shown, &by_name) == 0 &&
      ::stat(".", &by_dot) == 0 && by_name.st_ino == by_dot.st_ino &&
      by_name.st_dev == by_dot.st_dev) {
    return shown;
  }
  std::error_code none;
  return std::filesystem::current_path(none).string();
}

Outcome directory(const Layer& value) {
  auto name = string(value);
  if (!name) return name;
  if (name->is_null()) {
    return base::fail("join() argument must be str, bytes, or os.PathLike object, not 'NoneType'");
  }
  namespace fs = std::filesystem;
  const auto& text = name->get_ref<const std::string&>();
  std::string path = (fs::path(working_directory()) / text).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  std::error_code none;
  if (has_nul(text) || !fs::exists(path, none))
    return base::fail(fmt::format("can't chdir to {}", python_quoted(text)));
  if (!fs::is_directory(path, none)) {
    return base::fail(fmt::format("[Errno 20] Not a directory: {}", python_quoted(path)));
  }
  return Layer(path);
}

std::optional<std::int64_t> user_id(const std::string& name) {
  const passwd* found = ::getpwnam(name.c_str());
  return found == nullptr ? std::nullopt : std::optional<std::int64_t>(found->pw_uid);
}

std::optional<std::int64_t> group_id(const std::string& name) {
  const ::group* found = ::getgrnam(name.c_str());
  return found == nullptr ? std::nullopt : std::optional<std::int64_t>(found->gr_gid);
}

Outcome identity(const Layer& value, std::string_view what, std::int64_t own,
                 std::optional<std::int64_t> (*look_up)(const std::string&)) {
  if (value.is_null()) return Layer(own);
  if (value.is_boolean() || value.is_number_integer()) return integer(value);
  if (!value.is_string()) {
    return base::fail(fmt::format("'{}' object has no attribute 'isdigit'", python_type(value)));
  }
  const auto& name = value.get_ref<const std::string&>();
  if (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos) {
    return at_most(Layer(python_int(name, 10).value_or(INT64_MAX)), UINT32_MAX);
  }
  const auto id = has_nul(name) ? std::nullopt : look_up(name);
  if (id) return Layer(*id);
  return base::fail(fmt::format("No such {}: '{}'", what, name));
}

bool is_host_and_port(std::string_view text) {
  const bool bracketed = text.starts_with('[') && text.find(']') != std::string_view::npos;
  const std::string_view rest = bracketed ? text.substr(text.find(']') + 1) : text;
  const std::size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return true;
  return python_int(rest.substr(colon + 1), 10).has_value();
}

Outcome statsd_address(const Layer& value) {
  auto text = string(value);
  if (!text || text->is_null()) return text;
  const auto& address = text->get_ref<const std::string&>();
  if (address.starts_with("unix:") || is_host_and_port(address)) return text;
  return base::fail("Value must be one of ('host:port', 'unix://PATH')");
}

// One of a few words, written in any case.
struct Choices {
  std::string_view words;       // with blanks between, the default first
  std::string_view wrong_type;  // the error's words for what is no string; {} is the value
  std::string_view wrong_word;
};

Outcome one_of(const Choices& choices, const Layer& value) {
  if (value.is_null()) return Layer(choices.words.substr(0, choices.words.find(' ')));
  const std::string shown = python_str(value);
  if (!value.is_string()) return base::fail(fmt::format(fmt::runtime(choices.wrong_type), shown));
  const std::string word = lowered(stripped(shown));
  for (std::string_view rest = choices.words; !rest.empty();) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    if (rest.substr(0, space) == word) return Layer(word);
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return base::fail(fmt::format(fmt::runtime(choices.wrong_word), word));
}

constexpr std::string_view kCasting = "Invalid type for casting: {}";

Outcome header_map(const Layer& value) {
  auto word = one_of({"drop refuse dangerous", kCasting, "{}"}, value);
  if (word || !value.is_string()) return word;
  return base::fail(fmt::format("Invalid header map behaviour: {}", python_str(value)));
}

Outcome reload_engine(const Layer& value) {
  if (value == "auto" || value == "poll" || value == "inotify") return value;
  return base::fail(fmt::format("Invalid reload_engine: {}", python_repr(value)));
}

Outcome proxy_protocol(const Layer& value) {
  if (value.is_boolean()) return Layer(value.get<bool>() ? "auto" : "off");
  constexpr std::string_view kWrong = "proxy_protocol must be: off, v1, v2, or auto";
  auto word = one_of(
      {"off false 0 none v1 v2 auto true 1", "proxy_protocol must be string or bool", kWrong},
      value);
  if (!word) return word;
  if (*word == "false" || *word == "0" || *word == "none") return Layer("off");
  return *word == "true" || *word == "1" ? Layer("auto") : word;
}

Outcome http2_cleartext(const Layer& value) {
  if (value.is_boolean()) return Layer(value.get<bool>() ? "prior-knowledge" : "off");
  return one_of({"off prior-knowledge upgrade both", kCasting, "Invalid http2_cleartext: {}"},
                value);
}

Outcome http_protocols(const Layer& value) {
  if (!value.is_string() && !value.is_null()) return base::fail("http_protocols must be a string");
  auto items = split_at_commas(value);
  if (!items || items->empty()) return Layer::array({"h1"});
  Layer versions = Layer::array();
  for (const Layer& item : *items) {
    const std::string word = lowered(item.get_ref<const std::string&>());
    if (word != "h1" && word != "h2") {
      return base::fail(fmt::format("Invalid protocol '{}'. Valid protocols: h1, h2", word));
    }
    const bool twice = std::find(versions.begin(), versions.end(), Layer(word)) != versions.end();
    if (twice) return base::fail("Duplicate protocols specified");
    versions.push_back(word);
  }
  return versions;
}

// What to use in place of a worker class of Gunicorn's or of another package.
std::string_view instead_of_worker(std::string_view given) {
  const auto names = [given](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [given](std::string_view word) {
      return given.find(word) != std::string_view::npos;
    });
  };
  if (names({"gevent", "eventlet", "meinheld", "tornado"})) {
    return "there are no greenlets here; use gthread with --threads N, N being the requests that "
           "wait at a time (slow clients and idle connections need no thread)";
  }
  if (names({"asgi", "uvicorn", "aiohttp", "hypercorn", "daphne"}))
    return "ASGI applications are not served; sync and gthread serve WSGI applications";
  return "worker_class must be sync or gthread (with --threads N)";
}

// Gunicorn's other worker classes, and those of other packages, are refused: serving the
// application in another way than asked would be worse than not starting.
Outcome worker_class(const Layer& value) {
  auto name = string(value);
  if (!name) return name;
  if (name->is_null()) return Layer("sync");
  const auto& given = name->get_ref<const std::string&>();
  for (const char* packages : {"gunicorn.workers.", "tricorn.compat.workers."}) {
    if (given == "sync" || given == fmt::format("{}sync.SyncWorker", packages))
      return Layer("sync");
    if (given == "gthread" || given == fmt::format("{}gthread.ThreadWorker", packages))
      return Layer("gthread");
  }
  return base::fail(fmt::format("class uri {} invalid or not found: {}", python_quoted(given),
                                instead_of_worker(lowered(given))));
}

Outcome class_name(const Setting& setting, const Layer& value) {
  auto name = string(value);
  return name && name->is_null() ? Layer::parse(setting.default_json) : name;
}

Outcome paste(const Layer& value) {
  if (value.is_null()) return value;
  return base::fail(
      "paste: a PasteDeploy file cannot be loaded; name the application as MODULE:CALLABLE");
}

Outcome timeout_status(const Layer& value) {
  constexpr std::string_view kWrong = "timeout_status must be one of: 500, by-cause";
  return one_of({"500 by-cause", kWrong, kWrong}, value == 500 ? Layer("500") : value);
}

Outcome any_seconds(const Layer& value) {
  if (value.is_null()) return value;
  if (value.is_number_integer() || value.is_number_float()) return any_seconds(Layer(value.dump()));
  constexpr std::string_view kWrong = "Value must be seconds from 0 to {}: {}";
  const std::string text = value.is_string() ? stripped_text(value) : python_str(value);
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || !(seconds >= 0 && seconds <= static_cast<double>(kClientSecondsMax)))
    return base::fail(fmt::format(fmt::runtime(kWrong), kClientSecondsMax, text));
  return Layer(text);
}

// "300M" is 300 * 2^20.
Outcome byte_size(const Layer& value) {
  if (!value.is_string()) return pos_int(Kind::Large, value);
  std::string text = stripped_text(value);
  constexpr std::string_view kUnits = "KMG";
  const std::size_t unit =
      text.empty()
          ? std::string_view::npos
          : kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(text.back()))));
  if (unit != std::string_view::npos) text.pop_back();
  const auto number = python_int(text, 10);
  const int shift = unit == std::string_view::npos ? 0 : static_cast<int>(unit + 1) * 10;
  if (!number || *number < 0 || *number > (INT64_MAX >> shift)) {
    return base::fail(fmt::format("Value must be bytes, or a number with K, M or G behind it: {}",
                                  python_str(value)));
  }
  return Layer(*number << shift);
}

Outcome ssl_version(const Layer& value) {
  return value.is_null() ? value : Layer(python_str(value));
}

// Those with a kind of their own. A hook's value is Python's to check.
Outcome by_check(const Setting& setting, const Layer& value) {
  switch (setting.check) {
    case Check::PosInt:
      return pos_int(setting.kind, value);
    case Check::ClientSeconds:
      return client_seconds(value);
    case Check::AnySeconds:
      return any_seconds(value);
    case Check::ByteSize:
      return byte_size(value);
    case Check::Bool:
      return boolean(setting.kind, value);
    case Check::String:
      return string(value);
    case Check::ListString:
      return list_of(value, string);
    case Check::ListOfFilesOrPatterns:
      return list_of(value, file_or_pattern);
    case Check::StringToList:
      return split_at_commas(value);
    case Check::StringToAddrList:
      return address_list(value);
    case Check::Class:
      return class_name(setting, value);
    case Check::WorkerClass:
      return worker_class(value);
    case Check::User:
      return identity(value, "user", ::geteuid(), user_id);
    case Check::Group:
      return identity(value, "group", ::getegid(), group_id);
    case Check::Chdir:
      return directory(value);
    case Check::Dict:
      return dictionary(setting.kind, value);
    case Check::StatsdAddress:
      return statsd_address(value);
    case Check::ReloadEngine:
      return reload_engine(value);
    case Check::ProxyProtocol:
      return proxy_protocol(value);
    case Check::SslVersion:
      return ssl_version(value);
    case Check::HttpProtocols:
      return http_protocols(value);
    case Check::Http2Cleartext:
      return http2_cleartext(value);
    case Check::Http2StreamLimit:
      return stream_limit(value);
    case Check::Http2WindowSize:
      return window_size(value);
    case Check::Http2FrameSize:
      return frame_size(value);
    case Check::HeaderMapBehaviour:
      return header_map(value);
    case Check::AsgiLoop:
      return one_of({"auto asyncio uvloop", kCasting, "Invalid ASGI loop: {}"}, value);
    case Check::AsgiLifespan:
      return one_of({"auto on off", kCasting, "Invalid ASGI lifespan: {}"}, value);
    case Check::HttpParser:
      return one_of({"auto fast python", "http_parser must be a string",
                     "http_parser must be one of: auto, fast, python"},
                    value);
    case Check::Paste:
      return paste(value);
    case Check::LogFormat:
      return one_of({"text json", kCasting, "Invalid log format: {}"}, value);
    case Check::TimeoutStatus:
      return timeout_status(value);
    case Check::Callable:
    case Check::PostRequest:
      return value;
  }
  return value;
}

// A variable of the environment may hold any bytes; the other sources were read as UTF-8.
bool carries_utf8(const Layer& value) {
  if (value.is_string()) return is_utf8(value.get_ref<const std::string&>());
  return !value.is_array() || std::all_of(value.begin(), value.end(), carries_utf8);
}

}  // namespace

base::Result<Layer> checked(const Setting& setting, const Layer& value) {
  if (!carries_utf8(value)) return base::fail("not UTF-8");
  if (is_foreign(value)) {
    return base::fail(fmt::format("a {} cannot be its value", python_str(value.at("!"))));
  }
  return by_check(setting, value);
}

Layer default_of(const Setting& setting) {
  if (setting.kind == Kind::Directory) return Layer(working_directory());
  auto value = by_check(setting, Layer::parse(setting.default_json));
  TRICORN_CHECK(value.has_value());
  return *value;
}

}  // namespace tricorn::config
