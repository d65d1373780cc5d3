#include "worker/access_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "pyapi/ref.h"

namespace tricorn::worker {
namespace {

// Bytes that are collected before a write happens without waiting for flush().
constexpr std::size_t kBatchBytes = 16 * 1024;
constexpr std::size_t kWidthMax = 1000;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// Values come from the client: a quote would end the field, a control byte could forge a line.
void append_escaped(std::string& line, std::string_view value) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"') {
      line += "\\\"";
    } else if (byte < 0x20 || byte == 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
}

void append_or_dash(std::string& line, std::string_view value) {
  if (value.empty()) {
    line += '-';
  } else {
    append_escaped(line, value);
  }
}

// The last of several: Gunicorn's dictionary of headers keeps that.
void append_field(std::string& line, const http::RequestHead& head, std::string_view lower_name) {
  const http::Field* last = nullptr;
  for (const http::Field& field : head.fields) {
    if (http::equals_lower(field.name, lower_name)) last = &field;
  }
  if (last == nullptr) {
    line += '-';
  } else {
    append_escaped(line, last->value);
  }
}

// All of them, joined as in the environ.
void append_joined(std::string& line, const http::RequestHead& head, std::string_view lower_name) {
  bool first = true;
  for (const http::Field& field : head.fields) {
    if (!http::equals_lower(field.name, lower_name)) continue;
    if (!first) line += ',';
    append_escaped(line, field.value);
    first = false;
  }
  if (first) line += '-';
}

std::string_view field_value(const http::RequestHead& head, std::string_view lower_name) {
  const http::Field* field = head.find(lower_name);
  return field == nullptr ? std::string_view() : field->value;
}

// The last of several, as above.
void append_response_field(std::string& line, std::string_view lines, std::string_view lower_name) {
  std::string_view value = "-";
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view field = lines.substr(0, end);
    const std::size_t colon = field.find(": ");
    if (colon != std::string_view::npos && http::equals_lower(field.substr(0, colon), lower_name))
      value = field.substr(colon + 2);
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
  append_escaped(line, value);
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// Bytes of base64, what is no digit of it left out as Python does; empty when it ends in the midst.
std::string base64_decoded(std::string_view text) {
  std::string bytes;
  unsigned bits = 0;
  std::size_t digits = 0;
  std::size_t padding = 0;
  for (const char c : text) {
    if (c == '=' && digits % 4 != 0 && ++padding + digits % 4 == 4) break;
    const int value = base64_value(c);
    if (value < 0) continue;
    padding = 0;
    bits = bits << 6 | static_cast<unsigned>(value);
    if (++digits % 4 != 1) bytes += static_cast<char>(bits >> (6 - 2 * ((digits - 1) % 4)) & 0xff);
  }
  return (digits + padding) % 4 == 0 ? bytes : std::string();
}

// User of "Basic base64(user:password)". Source: RFC 7617 section 2
std::string basic_user(std::string_view authorization) {
  if (authorization.size() < 6 || !http::equals_lower(authorization.substr(0, 6), "basic "))
    return {};
  const std::string decoded = base64_decoded(authorization.substr(6));
  return decoded.substr(0, decoded.find(':'));
}

// "[23/Nov/2026:09:49:35 +0000]", local time; made once a second.
std::string_view log_time() {
  thread_local std::time_t cached = -1;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != cached) {
    std::tm local{};
    ::localtime_r(&now, &local);
    char buffer[64];
    const std::size_t size = std::strftime(buffer, sizeof buffer, "[%d/%b/%Y:%H:%M:%S %z]", &local);
    text.assign(buffer, size);
    cached = now;
  }
  return text;
}

// str() of the value whose key is `name` in lower case; the last of several.
void append_environ(std::string& line, PyObject* environ, std::string_view name) {
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  PyObject* last = nullptr;
  Py_ssize_t at = 0;
  while (environ != nullptr && PyDict_Next(environ, &at, &key, &value) != 0) {
    const char* text = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : nullptr;
    if (text != nullptr && http::equals_lower(text, name)) last = value;
  }
  const pyapi::Ref shown =
      pyapi::Ref::steal(last != nullptr ? PyObject_Str(last) : PyUnicode_FromString("-"));
  // Strings of the environ are bytes in disguise (PEP 3333); what is none of those is UTF-8.
  const pyapi::Ref bytes =
      pyapi::Ref::steal(shown ? PyUnicode_AsLatin1String(shown.get()) : nullptr);
  if (bytes) {
    append_escaped(line, {PyBytes_AS_STRING(bytes.get()),
                          static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))});
  } else {
    PyErr_Clear();
    const char* text = shown ? PyUnicode_AsUTF8(shown.get()) : nullptr;
    append_escaped(line, text != nullptr ? text : "-");
  }
  PyErr_Clear();
}

}  // namespace

AccessLog::Atom AccessLog::atom_of(std::string_view name, std::string& argument) {
  static constexpr std::pair<std::string_view, Atom> kAtoms[] = {
      {"h", Atom::RemoteAddress}, {"l", Atom::Dash},         {"u", Atom::User},
      {"t", Atom::Time},          {"r", Atom::RequestLine},  {"m", Atom::Method},
      {"U", Atom::Path},          {"q", Atom::Query},        {"H", Atom::Protocol},
      {"s", Atom::Status},        {"B", Atom::BodyBytes},    {"b", Atom::BodyBytesOrDash},
      {"f", Atom::Referer},       {"a", Atom::UserAgent},    {"T", Atom::Seconds},
      {"M", Atom::Milliseconds},  {"D", Atom::Microseconds}, {"L", Atom::DecimalSeconds},
      {"p", Atom::Pid},
  };
  for (const auto& [known, atom] : kAtoms) {
    if (known == name) return atom;
  }
  if (name.size() > 3 && name.front() == '{' && name[name.size() - 2] == '}') {
    argument = lower(name.substr(1, name.size() - 3));
    if (name.back() == 'i') return Atom::RequestField;
    if (name.back() == 'o') return Atom::ResponseField;
    if (name.back() == 'e') return Atom::EnvironKey;
  }
  return Atom::Dash;  // unknown atoms print "-", as in Gunicorn
}

void AccessLog::add_text_piece(std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().atom != Atom::Text) pieces_.push_back({Atom::Text, {}});
  pieces_.back().text.append(text);
}

// One "%(name)s", "%(name)-10.8s" or "%(name)d", taken off the front of `format`.
base::Result<AccessLog::Piece> AccessLog::read_atom(std::string_view& format) {
  const std::string_view whole = format.substr(0, 24);
  const std::size_t close = format.find(')');
  Piece piece;
  if (format.substr(0, 2) != "%(" || close == std::string_view::npos)
    return base::fail(fmt::format("access_log_format: '{}' is no %(name)s", whole));
  piece.atom = atom_of(format.substr(2, close - 2), piece.text);
  format.remove_prefix(close + 1);
  const auto next = [&format] { return format.empty() ? '\0' : format.front(); };
  for (; next() == '-' || next() == '0'; format.remove_prefix(1)) {
    if (next() == '-') piece.left = true;
    if (next() == '0') piece.pad = '0';
  }
  const auto number = [&] {
    std::size_t value = 0;
    for (; next() >= '0' && next() <= '9' && value < kWidthMax; format.remove_prefix(1))
      value = value * 10 + static_cast<std::size_t>(next() - '0');
    return value;
  };
  piece.width = number();
  if (next() == '.') {
    format.remove_prefix(1);
    piece.most = number();
  }
  const char type = next();
  if (type == 's') piece.pad = ' ';
  if (type != 's' && type != 'd' && type != 'i')
    return base::fail(fmt::format("access_log_format: '{}' is no %(name)s", whole));
  format.remove_prefix(1);
  return piece;
}

base::Result<void> AccessLog::compile(std::string_view format) {
  while (!format.empty()) {
    const std::size_t percent = std::min(format.find('%'), format.size());
    add_text_piece(format.substr(0, percent));
    format.remove_prefix(percent);
    if (format.empty()) break;
    if (format.substr(0, 2) == "%%") {
      add_text_piece("%");
      format.remove_prefix(2);
      continue;
    }
    auto piece = read_atom(format);
    if (!piece) return base::Unexpected{piece.error()};
    const Atom atom = piece->atom;
    wants_query_ = wants_query_ || atom == Atom::Query;
    wants_environ_ = wants_environ_ || atom == Atom::EnvironKey || atom == Atom::Path;
    pieces_.push_back(std::move(*piece));
  }
  return {};
}

base::Result<void> AccessLog::open(const AccessLogOptions& options) {
  to_outlet_ = !options.path.empty();
  enabled_ = to_outlet_ || sink_ != nullptr;
  style_ = options.style;
  if (!enabled_) return {};
  if (auto compiled = compile(options.format); !compiled) return compiled;
  if (!to_outlet_) return {};
  if (options.path != "-") return outlet_.open_file(options.path);
  outlet_.share(STDOUT_FILENO);
  return {};
}

void AccessLog::append(std::string& line, const Piece& piece, const AccessFacts& facts) {
  const std::size_t begin = line.size();
  append_value(line, piece, facts);
  if (piece.atom == Atom::Text) return;
  if (line.size() - begin > piece.most) line.resize(begin + piece.most);
  if (line.size() - begin < piece.width) {
    const std::size_t missing = piece.width - (line.size() - begin);
    line.insert(piece.left ? line.size() : begin, missing, piece.left ? ' ' : piece.pad);
  }
}

void AccessLog::append_value(std::string& line, const Piece& piece, const AccessFacts& facts) {
  const http::RequestHead& head = *facts.head;
  const std::int64_t micros = facts.duration_ns / 1000;
  switch (piece.atom) {
    case Atom::Text:
      line += piece.text;
      break;
    case Atom::RemoteAddress:
      append_or_dash(line, facts.remote_address);
      break;
    case Atom::Dash:
      line += '-';
      break;
    case Atom::User:
      append_or_dash(line, basic_user(field_value(head, "authorization")));
      break;
    case Atom::Time:
      line += log_time();
      break;
    case Atom::RequestLine:
      append_escaped(line, head.method_text);
      line += ' ';
      append_escaped(line, head.target);
      line += head.version_minor == 0 ? " HTTP/1.0" : " HTTP/1.1";
      break;
    case Atom::Method:
      append_escaped(line, head.method_text);
      break;
    case Atom::Path:
      append_environ(line, facts.environ, "path_info");
      break;
    case Atom::Query:
      append_escaped(line, head.query);
      break;
    case Atom::Protocol:
      line += head.version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
      break;
    case Atom::Status:
      line += facts.status;
      break;
    case Atom::BodyBytes:
    case Atom::BodyBytesOrDash:
      line += std::to_string(facts.body_bytes);
      break;
    case Atom::Referer:
      append_joined(line, head, "referer");
      break;
    case Atom::UserAgent:
      append_joined(line, head, "user-agent");
      break;
    case Atom::Seconds:
      line += std::to_string(micros / 1'000'000);
      break;
    case Atom::Milliseconds:
      line += std::to_string(micros / 1000);
      break;
    case Atom::Microseconds:
      line += std::to_string(micros);
      break;
    case Atom::DecimalSeconds:
      line += fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
      break;
    case Atom::Pid:
      line += fmt::format("<{}>", ::getpid());
      break;
    case Atom::RequestField:
      append_field(line, head, piece.text);
      break;
    case Atom::ResponseField:
      append_response_field(line, facts.response_fields, piece.text);
      break;
    case Atom::EnvironKey:
      append_environ(line, facts.environ, piece.text);
      break;
  }
}

// Names by the OpenTelemetry conventions, the duration by ECS in nanoseconds. The query, which may
// hold secrets, only when the format asks for it.
std::string AccessLog::json(const AccessFacts& facts) const {
  const http::RequestHead& head = *facts.head;
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::vector<base::Field> fields = {
      {"process.pid", std::to_string(::getpid()), true},
      {"client.address", std::string(facts.remote_address)},
      {"http.request.method", std::string(head.method_text)},
      {"url.path", std::string(head.path)},
      {"network.protocol.version", head.version_minor == 0 ? "1.0" : "1.1"},
      {"http.response.status_code", facts.status.empty() ? "0" : std::string(facts.status), true},
      {"http.response.body.size", std::to_string(facts.body_bytes), true},
      {"event.duration", std::to_string(facts.duration_ns), true},
  };
  if (wants_query_) fields.push_back({"url.query", std::string(head.query)});
  for (const auto& [field, name] : {std::pair{"user-agent", "user_agent.original"},
                                    std::pair{"referer", "http.request.header.referer"}}) {
    if (const http::Field* found = head.find(field); found != nullptr)
      fields.push_back({name, std::string(found->value)});
  }
  std::string line = "{\"timestamp\":\"" + base::rfc3339(now);
  line += "\",\"severity\":\"INFO\",\"log.logger\":\"tricorn.access\",\"message\":\"request\"";
  base::append_fields(line, fields);
  line += "}\n";
  return line;
}

void AccessLog::add(const AccessFacts& facts) {
  std::string line;
  if (style_ == base::Style::Json) {
    line = json(facts);
  } else {
    for (const Piece& piece : pieces_) append(line, piece, facts);
    line += '\n';
  }
  if (sink_ != nullptr)
    sink_->take({base::Level::Info, std::string_view(line).substr(0, line.size() - 1)});
  if (!to_outlet_) return;
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    pending_ += line;
    full = pending_.size() >= kBatchBytes;
  }
  if (full) flush();
}

void AccessLog::flush() {
  if (!enabled_) return;
  {
    const std::lock_guard lock(mutex_);
    if (!pending_.empty()) outlet_.write(pending_);
    pending_.clear();
  }
  if (outlet_.behind()) outlet_.flush();
  if (sink_ != nullptr) sink_behind_.store(!sink_->flush());
}

}  // namespace tricorn::worker
