// level=error msg="text": what loggers and collectors write in pairs.
#include <cctype>

#include "control/doctor/text.h"
#include "control/doctor/traceback.h"
#include "control/doctor/unwrap.h"

namespace tricorn::control::doctor {
namespace {

// Takes one pair off; the value is raw, between its quotes when it has any.
bool take_pair(std::string_view& text, std::string_view& key, std::string_view& value) {
  take_blanks(text);
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  key = text.substr(0, equals);
  for (const char c : key)
    if (!is_word(c) && c != '.' && c != '@' && c != '-') return false;
  text.remove_prefix(equals + 1);
  if (!take(text, "\"")) {
    value = take_token(text);
    return true;
  }
  std::size_t end = 0;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  value = text.substr(0, end);
  text.remove_prefix(end < text.size() ? end + 1 : text.size());
  return true;
}

}  // namespace

bool Unwrapper::peel_logfmt(Line& line) {
  std::string_view rest = line.text;
  bool begins = false;
  for (const std::string_view name : {"time=", "ts=", "timestamp=", "level=", "lvl="})
    begins |= rest.starts_with(name);
  if (!begins) return false;
  std::string_view key, value, text, level, time;
  while (take_pair(rest, key, value)) {
    if (key == "msg" || key == "message" || key == "event") text = value;
    if (key == "level" || key == "lvl") level = value;
    if (key == "time" || key == "ts" || key == "timestamp") time = value;
  }
  if (text.empty()) return false;
  const auto iso = take_iso(time);
  if (iso && line.wrapper.clock == Clock::None) line.wrapper = iso->stamp;
  std::string& out = decoded_[depth_];
  out.clear();
  if (!level.empty() && !text.starts_with('[') && !is_of_traceback(text)) {
    out += '[';
    for (const char c : level)
      out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    out += "] ";
  }
  (void)unescape_json(text, out);
  line.text = out;
  return true;
}

}  // namespace tricorn::control::doctor
