#include "control/doctor/traceback.h"

#include <algorithm>
#include <utility>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

std::string kept(std::string_view text) { return std::string(text.substr(0, kFrameTextMax)); }

bool ends_like_exception(std::string_view name) {
  for (const std::string_view end :
       {"Error",   "Exception",  "Exit",         "Interrupt", "Warning",    "Timeout",
        "timeout", "error",      "Abort",        "Iteration", "HaltServer", "Group",
        "Refused", "Configured", "DoesNotExist", "Found",     "herror",     "gaierror",
        "Denied",  "Disconnect", "Unavailable",  "Cancelled", "Fault"})
    if (name.ends_with(end)) return true;
  return false;
}

bool is_marks(std::string_view text) {
  return !text.empty() && text.find_first_not_of("^~ ") == std::string_view::npos &&
         text.find('^') != std::string_view::npos;
}

}  // namespace

std::string_view exception_class(std::string_view text) {
  while (text.ends_with(' ') || text.ends_with(']')) text.remove_suffix(1);
  const std::size_t end = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, end);
  if (name.empty() || name.size() > 200 || (end + 1 < text.size() && text[end + 1] != ' '))
    return {};
  if (!is_letter(name[0]) && name[0] != '_') return {};
  for (const char c : name)
    if (!is_word(c) && c != '.') return {};
  const std::string_view bare = name.substr(name.rfind('.') + 1);
  if (bare.empty() || is_digit(bare[0])) return {};
  for (const std::string_view level : {"INFO", "ERROR", "WARNING", "DEBUG", "CRITICAL", "WARN",
                                       "NOTICE", "FATAL", "TRACE", "Traceback", "File"})
    if (name == level) return {};
  const bool camel = bare[0] >= 'A' && bare[0] <= 'Z';
  return camel || ends_like_exception(bare) ? bare : std::string_view{};
}

bool is_of_traceback(std::string_view text) {
  return text.starts_with(' ') || text.starts_with("\\t") || text.starts_with("Traceback (most") ||
         text.starts_with("During handling of") || text.starts_with("The above exception") ||
         !exception_class(text).empty();
}

bool TracebackReader::read(std::string_view text, const Hits& hits, std::uint64_t number,
                           bool foreign) {
  if (!pending_.empty()) {
    std::string_view rest = text;
    take_blanks(rest);
    const std::string name = std::exchange(pending_, "");
    if (foreign || !rest.starts_with("File \"")) {
      now_.exception = name;
      finish();
    }
  }
  if (hits.has(Word::Traceback)) {
    const std::string_view before = trimmed(text.substr(0, hits.at(Word::Traceback)));
    if (open_ && now_.frames.empty()) return true;  // written twice
    if (open_) finish();
    open_ = true;
    wants_source_ = indented_ = false;
    now_ = Traceback{};
    now_.first = now_.last = number;
    previous_.clear();
    return before.empty() || before == "[";
  }
  if (foreign) return false;
  if (!open_ && !begins_headless(text, hits, number)) return false;
  if (!previous_.empty() && text == previous_) return true;  // doubled streams
  const bool part = (hits.has(Word::FrameFile) && read_frame(text, number)) || read_source(text) ||
                    read_end(text, number);
  if (!part) return false;
  previous_ = kept(text);
  if (open_) now_.last = number;
  return true;
}

// Hooks print stacks without the first line, and copying loses it.
bool TracebackReader::begins_headless(std::string_view text, const Hits& hits,
                                      std::uint64_t number) {
  if (!hits.has(Word::FrameFile) || !trimmed(text).starts_with("File \"") ||
      !contains(text, ", in "))
    return false;
  open_ = true;
  wants_source_ = indented_ = false;
  now_ = Traceback{};
  now_.first = now_.last = number;
  previous_.clear();
  return true;
}

std::optional<Frame> take_frame(std::string_view rest, std::string_view in, std::uint64_t number) {
  if (!take(rest, "File \"")) return std::nullopt;
  const bool doubled = take(rest, "\"");  // inside a field of a table
  const std::size_t quote = rest.find("\", line ");
  if (quote == std::string_view::npos || quote < (doubled ? 1U : 0U)) return std::nullopt;
  Frame frame;
  frame.file = kept(rest.substr(0, doubled ? quote - 1 : quote));
  rest.remove_prefix(quote + 8);
  const auto line = take_number(rest, 9);
  if (!line) return std::nullopt;
  frame.line = *line;
  if (take(rest, in)) frame.function = kept(trimmed(rest));
  frame.number = number;
  return frame;
}

bool TracebackReader::read_frame(std::string_view text, std::uint64_t number) {
  std::string_view rest = text;
  const std::size_t indent = take_blanks(rest);
  auto frame = take_frame(rest, ", in ", number);
  if (!frame) return false;
  if (now_.frames.size() == kFramesMax) now_.frames.erase(now_.frames.begin());
  now_.frames.push_back(*std::move(frame));
  indented_ = indent > 0;
  wants_source_ = true;
  return true;
}

bool TracebackReader::read_source(std::string_view text) {
  if (now_.frames.empty()) return false;
  std::string_view rest = text;
  const std::size_t indent = take_blanks(rest);
  if (rest.empty()) return false;
  Frame& frame = now_.frames.back();
  const bool deep = indent >= 2 || (indent > 0 && indented_);
  if (is_marks(rest) && (deep || !indented_) && !frame.source.empty()) {
    const std::size_t first = text.find('^');
    const std::size_t last = text.rfind('^');
    const std::size_t shift = source_indent_;
    if (first >= shift && first - shift < frame.source.size())
      frame.caret = frame.source.substr(first - shift, last - first + 1);
    return true;
  }
  if (rest.starts_with("[Previous line repeated")) return true;
  if (!wants_source_) return deep && indented_;  // a statement's further lines
  // Copying may have taken the indentation off everything.
  if (!deep && (indented_ || !exception_class(text).empty())) return false;
  frame.source = kept(trimmed(rest));
  source_indent_ = indent;
  wants_source_ = false;
  return true;
}

bool TracebackReader::read_end(std::string_view text, std::uint64_t number) {
  if (now_.frames.empty()) return false;
  const std::string_view name = exception_class(text);
  // A foreign "Not Found: /x" has a blank in its name; "Forbidden: /x" of Django has none.
  if (name.empty() || name == "Forbidden" || name == "Unauthorized") return false;
  now_.last = number;
  if (!ends_like_exception(name)) {
    pending_ = kept(name);
    return true;
  }
  now_.exception = kept(name);
  finish();
  return true;
}

void TracebackReader::finish() {
  open_ = false;
  wants_source_ = false;
  if (!now_.frames.empty()) finished_ = std::move(now_);
  now_ = Traceback{};
}

void TracebackReader::cut() {
  if (!open_) return;
  now_.exception = std::exchange(pending_, "");
  finish();
}

std::optional<Traceback> TracebackReader::take_finished() {
  return std::exchange(finished_, std::nullopt);
}

}  // namespace tricorn::control::doctor
