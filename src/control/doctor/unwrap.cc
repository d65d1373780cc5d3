#include "control/doctor/unwrap.h"

#include <algorithm>
#include <cctype>

#include "control/doctor/json_line.h"
#include "control/doctor/text.h"
#include "control/doctor/traceback.h"

namespace tricorn::control::doctor {
namespace {

// How colours look after the ways logs take: the byte itself, or one of its spellings.
constexpr std::string_view kEscapes[] = {"\x1b",    "\\x1b", "\\x1B", "\\033",       "\\u001b",
                                         "\\u001B", "#033",  "^[",    "\xE2\x90\x9B"};

// Keys under which collectors keep a line's text, the best first.
constexpr std::string_view kTexts[] = {
    "log",   "message",           "msg",  "textPayload", "MESSAGE",
    "event", "resultDescription", "text", "body",        "line"};
// Bytes of a tag before an entry.
constexpr std::size_t kTagBytesMax = 128;
// Keys whose object holds it.
constexpr std::string_view kInner[] = {"jsonPayload", "_source", "record",
                                       "log",         "message", "data"};

// Length of a colour sequence at `at` ("\x1b[1;31m", or what copying left of it: "[31m").
std::size_t colour_length(std::string_view text, std::size_t at) {
  std::size_t used = 0;
  bool escaped = false;
  for (const std::string_view escape : kEscapes) {
    if (!text.substr(at).starts_with(escape)) continue;
    used = escape.size();
    escaped = true;
    break;
  }
  const std::size_t bracket = at + used;
  if (bracket >= text.size() || text[bracket] != '[') return escaped && used == 1 ? 1 : 0;
  std::size_t end = bracket + 1;
  while (end < text.size() && (is_digit(text[end]) || text[end] == ';' || text[end] == '?')) ++end;
  if (end == text.size()) return escaped ? end - at : 0;
  if (!escaped && (text[end] != 'm' || end == bracket + 1)) return 0;
  return is_letter(text[end]) ? end + 1 - at : 0;
}

bool may_have_colours(std::string_view text) {
  return text.find('\x1b') != std::string_view::npos || contains(text, "[0m");
}

void append_without_colours(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t colour = colour_length(text, at);
    if (colour == 0) out += text[at];
    at += colour == 0 ? 1 : colour;
  }
}

void append_utf8(std::uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | code >> 6U);
    out += static_cast<char>(0x80U | (code & 0x3FU));
  } else {
    out += static_cast<char>(0xE0U | code >> 12U);
    out += static_cast<char>(0x80U | (code >> 6U & 0x3FU));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  }
}

bool name_char(char c) { return is_word(c) || c == '.' || c == '-' || c == '/' || c == '@'; }

std::string_view skip_blank(std::string_view text) {
  if (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  return text;
}

}  // namespace

std::size_t unescape_json(std::string_view text, std::string& out) {
  std::size_t at = 0;
  while (at < text.size() && text[at] != '"') {
    if (text[at] != '\\' || at + 1 == text.size()) {
      out += text[at++];
      continue;
    }
    const char c = text[at + 1];
    at += 2;
    if (c != 'u') {
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' || c == 'f' ? ' ' : c;
      continue;
    }
    std::uint32_t code = 0;
    std::size_t used = 0;
    while (used < 4 && at < text.size() &&
           std::isxdigit(static_cast<unsigned char>(text[at])) != 0) {
      const char digit = text[at++];
      code = code * 16 +
             static_cast<std::uint32_t>(is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
      ++used;
    }
    append_utf8(code, out);
  }
  return at;
}

std::string_view Unwrapper::without_colours(std::string_view raw) {
  if (!may_have_colours(raw)) return raw;
  clean_.clear();
  append_without_colours(raw, clean_);
  return clean_;
}

bool Unwrapper::unwrap(std::string_view raw, Line& line) {
  line = Line{};
  while (raw.ends_with('\r') || raw.ends_with('\n')) raw.remove_suffix(1);
  if (raw.starts_with("\xEF\xBB\xBF")) raw.remove_prefix(3);
  line.text = without_colours(raw);
  waiting_ = false;
  for (depth_ = 0; depth_ < kLayersMax && (peel(line) || peel_learnt(line)); ++depth_) {
  }
  while (line.text.ends_with('\r')) line.text.remove_suffix(1);
  return !waiting_;
}

bool Unwrapper::flush(Line& line) {
  if (split_.empty()) return false;
  line = Line{};
  joined_ = std::move(split_.begin()->second);
  split_.erase(split_.begin());
  line.text = joined_;
  return true;
}

bool Unwrapper::peel(Line& line) {
  if (waiting_) return false;
  std::string_view text = line.text;
  take_blanks(text);
  if (text.empty()) return false;
  const char first = text[0];
  if (first == '{') return peel_json(line);
  if (first == '"') return peel_json_member(line);
  if (is_digit(first) && peel_iso(line)) return true;
  if (first == '[') return peel_bracket(line);
  if (first == '<') return peel_rfc5424(line);
  if (text.size() != line.text.size()) {  // indented: part of something
    if (!take(text, "| ")) return false;
    line.text = text;  // a Compose name that was cut away
    return true;
  }
  if (first >= 'A' && first <= 'S' && peel_syslog(line)) return true;
  if ((first == 't' || first == 'l') && peel_logfmt(line)) return true;
  if ((first == 'a' || first == 'h') && peel_heroku(line, text)) return true;
  if (first == '\xE2' && take(text, "\xE2\x94\x82")) {  // a table's border: │ text │
    const std::size_t last = text.rfind("\xE2\x94\x82");
    if (last != std::string_view::npos) text = text.substr(0, last);
    while (text.ends_with(' ')) text.remove_suffix(1);
    line.text = skip_blank(text);
    return true;
  }
  return name_char(first) && peel_compose(line);
}

bool Unwrapper::peel_iso(Line& line) {
  std::string_view rest = line.text;
  take_blanks(rest);
  const auto iso = take_iso(rest);
  if (!iso || rest.starts_with(']')) return false;
  // Gunicorn's own stamp before 19 is the record's, no wrapper.
  const bool naive = iso->stamp.clock == Clock::IsoNaive;
  if (naive && !iso->t_separated && iso->fraction_digits == 0 && rest.starts_with(" ["))
    return false;
  if (!rest.empty() && (is_word(rest[0]) || rest[0] == '-' || rest[0] == '/')) return false;
  (void)take(rest, ":");
  rest = skip_blank(rest);
  if (line.wrapper.clock == Clock::None) line.wrapper = iso->stamp;
  line.azure_prefix |= iso->fraction_digits == 7 && iso->utc && iso->t_separated;
  line.text = rest;
  if (peel_heroku(line, rest) || peel_cri(line, rest)) return true;
  if (rest.starts_with('[') && peel_bracket(line)) return true;
  // Fluentd's files: time, tag and entry between tabs.
  if (const std::size_t entry = rest.substr(0, kTagBytesMax).find("\t{"); entry != rest.npos) {
    line.text = rest.substr(entry + 1);
    return true;
  }
  for (const std::string_view level : {"ERROR", "INFO", "WARN", "WARNING", "DEBUG"}) {
    std::string_view after = rest;
    if (!take(after, level) || take_blanks(after) == 0 || !take(after, "- ")) continue;
    line.origin = Origin::AzurePlatform;
    line.text = after;
    return true;
  }
  (void)after_host(line, rest, true);
  return true;
}

bool Unwrapper::peel_heroku(Line& line, std::string_view rest) {
  const bool platform = rest.starts_with("heroku[");
  if (!platform && !rest.starts_with("app[")) return false;
  const std::size_t end = rest.find("]:");
  if (end == std::string_view::npos || end > 64) return false;
  const std::size_t begin = rest.find('[') + 1;
  line.heroku = true;
  line.source = rest.substr(begin, end - begin);
  if (platform)
    line.origin = line.source == "router" ? Origin::HerokuRouter : Origin::HerokuPlatform;
  line.text = skip_blank(rest.substr(end + 2));
  return true;
}

// "stderr F text": the tag P says that the text goes on in the next line of that stream.
bool Unwrapper::peel_cri(Line& line, std::string_view rest) {
  const std::string_view stream = take_token(rest);
  if ((stream != "stdout" && stream != "stderr") || !take(rest, " ")) return false;
  const std::string_view tag = take_token(rest);
  const bool partial = tag == "P" || tag.starts_with("P:");
  if (!partial && tag != "F" && !tag.starts_with("F:")) return false;
  (void)take(rest, " ");
  line.text = rest;
  return join(line, stream, partial);
}

bool Unwrapper::join(Line& line, std::string_view stream, bool goes_on) {
  auto found = split_.find(stream);
  if (goes_on && found == split_.end()) {
    if (split_.size() >= kSplitStreamsMax) return true;
    found = split_.emplace(std::string(stream), "").first;
  }
  if (found == split_.end()) return true;
  std::string& kept = found->second;
  kept.append(line.text.substr(0, kSplitBytesMax - std::min(kSplitBytesMax, kept.size())));
  if (goes_on) {
    waiting_ = true;
    return false;
  }
  joined_ = std::move(kept);
  split_.erase(found);
  line.text = joined_;
  return true;
}

// A prefix that records had before.
bool Unwrapper::peel_learnt(Line& line) {
  const auto [length, source] = waiting_ ? Prefixes::Found{} : prefixes_.find(line.text);
  if (length == 0) return false;
  line.learnt = true;
  if (line.source.empty()) {  // a copy: the line's own record may be the next to teach a prefix
    learnt_source_ = source;
    line.source = learnt_source_;
  }
  const bool column = line.text[length - 1] == ',';
  line.text.remove_prefix(length);
  if (!column || !line.text.starts_with('"')) return true;
  std::string& out = decoded_[depth_];
  out.clear();
  for (std::size_t at = 1; at < line.text.size(); ++at) {
    if (line.text[at] == '"' && line.text.substr(at + 1, 1) != "\"") break;
    if (line.text[at] == '"') ++at;
    out += line.text[at];
  }
  line.text = out;
  return true;
}

// A member on a line of its own, as in printed arrays of log entries: "message": "text",
bool Unwrapper::peel_json_member(Line& line) {
  if (contains(line.text, "OOMKilled")) return false;
  std::string_view rest = line.text;
  take_blanks(rest);
  rest.remove_prefix(1);
  const std::size_t quote = rest.find('"');
  if (quote == std::string_view::npos) return false;
  const std::string_view key = rest.substr(0, quote);
  if (std::find(std::begin(kTexts), std::end(kTexts), key) == std::end(kTexts)) return false;
  rest.remove_prefix(quote + 1);
  if (!take(rest, ":")) return false;
  take_blanks(rest);
  if (!take(rest, "\"")) return false;
  std::string& out = decoded_[depth_];
  out.clear();
  (void)unescape_json(rest, out);
  while (out.ends_with('\n')) out.pop_back();
  line.text = out;
  return true;
}

bool Unwrapper::peel_json(Line& line) {
  constexpr std::string_view kTimes[] = {"time", "timestamp", "@timestamp", "ts", "asctime"};
  if (contains(line.text, "OOMKilled")) return false;
  std::string_view text, time, level, pid, trace, stream, container, inner;
  std::size_t best = std::size(kTexts);
  for_each_key(line.text, [&](std::string_view key, std::string_view value, bool is_text) {
    if (key == "pid" || key == "process" || key == "process.pid") pid = value;
    if (!is_text) {
      const bool object = inner.empty() && value.starts_with('{');
      if (object && std::find(std::begin(kInner), std::end(kInner), key) != std::end(kInner))
        inner = value;
      return;
    }
    for (std::size_t index = 0; index < best; ++index) {
      if (key != kTexts[index]) continue;
      text = value;
      best = index;
    }
    for (const std::string_view name : kTimes) time = key == name ? value : time;
    if (key == "level" || key == "levelname" || key == "severity") level = value;
    if (key == "exc_info" || key == "exception" || key == "stack_trace" ||
        key == "exception.stacktrace")
      trace = value;
    if (key == "stream") stream = value;
    if (key == "container_name" || key == "container") container = value;
  });
  line.json = true;
  line.object = line.text;
  if (best == std::size(kTexts) && inner.empty()) return false;
  std::string_view stamp_text = time;
  const auto iso = take_iso(stamp_text);
  if (iso && line.wrapper.clock == Clock::None) line.wrapper = iso->stamp;
  if (best == std::size(kTexts)) {
    line.text = inner;
    return true;
  }
  if (!container.empty() && line.source.empty()) line.source = container;
  const bool whole = text.ends_with("\\n");
  if (whole) text.remove_suffix(2);
  std::string& out = decoded_[depth_];
  out.clear();
  // A record whose header is spread over keys gets it back.
  std::string_view digits_only = pid;
  if (best > 0 && !level.empty() && !text.starts_with('[') && !is_of_traceback(text)) {
    const auto number = take_number(digits_only, 9);
    if (number && digits_only.empty()) out.append("[").append(pid).append("] ");
    out += '[';
    for (const char c : level)
      out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    out += "] ";
  }
  const bool plain = out.empty() && trace.empty() && text.find('\\') == std::string_view::npos;
  if (plain) {
    line.text = text;
  } else {
    (void)unescape_json(text, out);
    if (!trace.empty()) out += '\n';
    (void)unescape_json(trace, out);
    if (may_have_colours(out)) {
      std::string clean;
      append_without_colours(out, clean);
      out = std::move(clean);
    }
    line.text = out;
  }
  // Docker splits what is longer than 16 KiB; a piece that goes on has no newline.
  constexpr std::size_t kDockerPieceBytes = 16'000;
  if (best == 0) (void)join(line, stream, !whole && line.text.size() >= kDockerPieceBytes);
  return true;
}

// "Feb 03 04:05:06 host till[44]: text"
bool Unwrapper::peel_syslog(Line& line) {
  std::string_view rest = line.text;
  const auto stamp = take_syslog_time(rest);
  if (!stamp || !take(rest, " ")) return false;
  if (line.wrapper.clock == Clock::None) line.wrapper = *stamp;
  line.text = rest;
  (void)after_host(line, rest, false);
  return true;
}

// "host till[44]: text", "host kernel: text". A strict one has a pid or is the kernel's, because an
// ISO prefix is followed by anything at all.
bool Unwrapper::after_host(Line& line, std::string_view rest, bool strict) {
  const std::string_view host = take_token(rest);
  if (host.ends_with(':')) return !strict && peel_tag(line, line.text);
  if (host.empty() || !take(rest, " ")) return false;
  std::string_view after = rest;
  const std::string_view tag = take_token(after);
  const bool kernel = tag == "kernel:";
  if (!tag.ends_with(':') || (strict && !kernel && !tag.ends_with("]:"))) return false;
  constexpr std::size_t kShortest = sizeof("a[1]:") - 1;
  const bool has_pid = tag.size() >= kShortest && tag[0] != '[' && is_digit(tag[tag.size() - 3]);
  if (strict && !kernel && !has_pid) return false;
  if (!peel_tag(line, rest)) return false;
  if (!line.heroku) {
    tagged_.assign(host).append(" ").append(line.source);
    line.source = kernel ? host : std::string_view(tagged_);
  }
  return true;
}

bool Unwrapper::peel_tag(Line& line, std::string_view rest) {
  std::string_view tag = take_token(rest);
  if (!tag.ends_with(':')) return false;
  tag.remove_suffix(1);
  if (tag == "kernel") line.origin = Origin::Kernel;
  if (const std::size_t bracket = tag.find('['); bracket != std::string_view::npos) {
    line.process = tag.substr(bracket + 1, tag.size() - bracket - 2);
    tag = tag.substr(0, bracket);
  }
  // What forwards Heroku's logs writes app/web.1 and heroku/router.
  if (tag.starts_with("app/") || tag.starts_with("heroku/")) {
    line.heroku = true;
    const bool platform = tag[0] == 'h';
    tag.remove_prefix(tag.find('/') + 1);
    if (platform) line.origin = tag == "router" ? Origin::HerokuRouter : Origin::HerokuPlatform;
  }
  for (const std::string_view stream : {".error", ".access"})
    if (tag.ends_with(stream)) tag.remove_suffix(stream.size());
  line.source = tag;
  line.text = skip_blank(rest);
  return true;
}

// "<14>1 2031-02-03T04:05:06Z host app pid msgid - text", or a priority before plain syslog.
bool Unwrapper::peel_rfc5424(Line& line) {
  std::string_view rest = line.text;
  take_blanks(rest);
  if (!take(rest, "<") || !take_number(rest, 3) || !take(rest, ">")) return false;
  if (!take(rest, "1 ")) {
    line.text = rest;
    return true;
  }
  const auto iso = take_iso(rest);
  if (!iso || !take(rest, " ")) return false;
  if (line.wrapper.clock == Clock::None) line.wrapper = iso->stamp;
  const std::string_view host = take_token(rest);
  (void)take(rest, " ");
  const std::string_view app = take_token(rest);
  (void)take(rest, " ");
  const std::string_view process = take_token(rest);
  (void)take(rest, " ");
  (void)take_token(rest);
  rest = skip_blank(rest);
  if (take(rest, "- ")) {
  } else if (rest.starts_with('[') && contains(rest, "] ") && contains(rest, "=\"")) {
    rest.remove_prefix(rest.find("] ") + 2);
  }
  line.heroku = app == "heroku" || (app == "app" && contains(process, "."));
  line.process = process;
  if (line.heroku) {
    line.source = process;
    if (app == "heroku")
      line.origin = process == "router" ? Origin::HerokuRouter : Origin::HerokuPlatform;
  } else {
    tagged_.assign(host).append(" ").append(app);
    line.source = tagged_;
    if (app == "kernel") line.origin = Origin::Kernel;
  }
  line.text = rest;
  return true;
}

// "[  123.456789] text" and "[Mon Feb  3 04:05:06 2031] text" of dmesg, "[APP/PROC/WEB/0] ERR text"
// of Cloud Foundry, "[pod/till/web] text" of kubectl.
bool Unwrapper::peel_bracket(Line& line) {
  std::string_view rest = line.text;
  take_blanks(rest);
  rest.remove_prefix(1);
  if (rest.empty() || (is_digit(rest[0]) && rest.size() > 4 && rest[4] == '-')) return false;
  const std::size_t end = rest.find(']');
  if (end == std::string_view::npos) return false;
  std::string_view inside = rest.substr(0, end);
  std::string_view after = rest.substr(end + 1);
  Stamp stamp;
  if (is_digit(inside.front()) || inside.front() == ' ') {
    take_blanks(inside);
    const auto seconds = take_number(inside);
    if (!seconds || !take(inside, ".") || !take_number(inside, 9) || !inside.empty()) return false;
    stamp = Stamp{Clock::Uptime, *seconds * 1000};
  } else if (const auto calendar = take_calendar_time(inside)) {
    stamp = *calendar;
  } else {
    const bool pod = inside.starts_with("pod/") && after.starts_with(' ');
    take_blanks(after);
    const bool out = take(after, "OUT") || take(after, "ERR");
    const bool foundry = out && inside[0] >= 'A' && inside[0] <= 'Z' &&
                         line.wrapper.clock != Clock::None && !contains(inside, " ");
    if (!pod && !foundry) return false;
    line.source = inside;
    line.text = skip_blank(pod ? rest.substr(end + 1) : after);
    return true;
  }
  if (line.wrapper.clock == Clock::None) line.wrapper = stamp;
  line.origin = Origin::Kernel;
  line.text = skip_blank(after);
  return true;
}

// "till-web-1  | text"
bool Unwrapper::peel_compose(Line& line) {
  constexpr std::size_t kNameMax = 128;
  std::string_view rest = line.text;
  std::size_t end = 0;
  while (end < rest.size() && end < kNameMax && name_char(rest[end])) ++end;
  const std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  for (const std::string_view level : {"INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL", "TRACE"})
    if (name == level) return false;
  if (take_blanks(rest) == 0 || !take(rest, "|") || (!rest.empty() && rest[0] != ' ')) return false;
  line.source = name;
  line.text = skip_blank(rest);
  return true;
}

}  // namespace tricorn::control::doctor
