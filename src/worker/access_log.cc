#include "worker/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
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

std::string_view field_value(const http::RequestHead& head, std::string_view lower_name) {
  const http::Field* field = head.find(lower_name);
  return field == nullptr ? std::string_view() : field->value;
}

std::string_view response_value(std::string_view lines, std::string_view lower_name) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos && http::equals_lower(line.substr(0, colon), lower_name)) {
      return line.substr(colon + 2);
    }
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
  return {};
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// User of "Basic base64(user:password)": RFC 7617 section 2.
std::string basic_user(std::string_view authorization) {
  if (authorization.size() < 6 || !http::equals_lower(authorization.substr(0, 6), "basic "))
    return {};
  std::string user;
  unsigned bits = 0;
  int have = 0;
  for (const char c : authorization.substr(6)) {
    const int value = base64_value(c);
    if (value < 0) break;
    bits = bits << 6 | static_cast<unsigned>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    const char decoded = static_cast<char>(bits >> have & 0xff);
    if (decoded == ':') return user;
    user += decoded;
  }
  return {};
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

base::Result<base::UniqueFd> open_append(const std::string& path) {
  base::UniqueFd file(path == "-"
                          ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                          : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) return base::fail_errno("accesslog '" + path + "'", errno);
  return file;
}

// str() of the value whose key is `name` in lower case.
std::string environ_value(PyObject* environ, std::string_view name) {
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t at = 0;
  while (environ != nullptr && PyDict_Next(environ, &at, &key, &value) != 0) {
    const char* text = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : nullptr;
    if (text == nullptr || !http::equals_lower(text, name)) continue;
    const pyapi::Ref shown = pyapi::Ref::steal(PyObject_Str(value));
    const char* bytes = shown ? PyUnicode_AsUTF8(shown.get()) : nullptr;
    if (bytes != nullptr) return bytes;
    break;
  }
  PyErr_Clear();
  return {};
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

base::Result<void> AccessLog::open(const std::string& path, std::string_view format) {
  path_ = path;
  if (path_.empty()) return {};
  while (!format.empty()) {
    const std::size_t percent = std::min(format.find('%'), format.size());
    add_text_piece(format.substr(0, percent));
    format.remove_prefix(percent);
    if (format.empty()) break;
    const std::size_t close = format.find(")s");
    if (format.substr(0, 2) == "%%") {
      add_text_piece("%");
      format.remove_prefix(2);
    } else if (format.substr(0, 2) == "%(" && close != std::string_view::npos) {
      std::string argument;
      const Atom atom = atom_of(format.substr(2, close - 2), argument);
      wants_environ_ = wants_environ_ || atom == Atom::EnvironKey;
      pieces_.push_back({atom, std::move(argument)});
      format.remove_prefix(close + 2);
    } else {
      return base::fail(
          fmt::format("access_log_format: '{}' is no %(name)s", format.substr(0, 16)));
    }
  }
  return reopen();
}

base::Result<void> AccessLog::reopen() {
  if (path_.empty()) return {};
  auto file = open_append(path_);
  if (!file) return base::Unexpected{file.error()};
  const std::lock_guard lock(mutex_);
  file_ = std::move(*file);
  return {};
}

void AccessLog::append(std::string& line, const Piece& piece, const AccessFacts& facts) {
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
      append_escaped(line, http::percent_decode(head.path));
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
      append_or_dash(line, field_value(head, "referer"));
      break;
    case Atom::UserAgent:
      append_or_dash(line, field_value(head, "user-agent"));
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
      append_or_dash(line, field_value(head, piece.text));
      break;
    case Atom::ResponseField:
      append_or_dash(line, response_value(facts.response_fields, piece.text));
      break;
    case Atom::EnvironKey:
      append_or_dash(line, environ_value(facts.environ, piece.text));
      break;
  }
}

void AccessLog::add(const AccessFacts& facts) {
  std::string line;
  for (const Piece& piece : pieces_) append(line, piece, facts);
  line += '\n';
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    pending_ += line;
    full = pending_.size() >= kBatchBytes;
  }
  if (full) flush();
}

void AccessLog::flush() {
  if (!enabled()) return;
  const std::lock_guard lock(mutex_);
  std::string_view left = pending_;
  while (!left.empty()) {
    pollfd ready{file_.get(), POLLOUT, 0};
    // At most PIPE_BUF at once, so that a write after POLLOUT cannot block. Source: pipe(7).
    const std::size_t part = std::min<std::size_t>(left.size(), 4096);
    if (::poll(&ready, 1, 0) != 1) break;
    const ssize_t written = ::write(file_.get(), left.data(), part);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  dropped_ += static_cast<std::uint64_t>(std::count(left.begin(), left.end(), '\n'));
  pending_.clear();
}

}  // namespace tricorn::worker
