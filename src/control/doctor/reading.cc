#include "control/doctor/reading.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "control/doctor/one_line.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// Lines a wrapper escaped into one.
constexpr std::size_t kPartsMax = 2'000;

}  // namespace

Reading::Reading() : lives_(&Reading::judge_one, this) {}

Mark Reading::mark_of(const Line& line, const Stamp& record) const {
  return Mark{number_, When{record, line.wrapper}};
}

void Reading::quote(std::uint64_t number, std::string_view text) {
  if (report_.quotes.size() < kQuotesMax || report_.quotes.count(number) > 0)
    report_.quotes.try_emplace(number, printable_part(trimmed(text), kQuoteBytesMax));
}

bool Reading::is_copy(std::uint64_t hash, bool stamped) {
  if (!stamped) return std::exchange(last_unstamped_, hash) == hash;
  if (old_copies_.count(hash) > 0 || !copies_.insert(hash).second) return true;
  if (copies_.size() >= kCopiesRemembered) {
    old_copies_ = std::move(copies_);
    copies_.clear();
  }
  return false;
}

std::uint32_t Reading::source_of(const Line& line) {
  if (!source_known_ || line.source != source_name_) {
    source_ = lives_.source(line.source);
    source_name_ = line.source;
    source_known_ = true;
  }
  return source_;
}

Reading::Lane& Reading::lane_of(const Line& line) {
  const std::uint64_t key = std::hash<std::string_view>{}(line.process) * 31 + source_of(line);
  if (lanes_.size() >= kLanesMax && lanes_.count(key) == 0) {
    open_lanes_ = 0;
    lanes_.clear();
  }
  return lanes_[key];
}

void Reading::read(std::string_view raw) {
  ++number_;
  const std::uint64_t known_before = report_.known;
  Line line;
  if (unwrapper_.unwrap(raw, line)) read_whole(line);
  if (!std::exchange(again_, false) || !unwrapper_.unwrap(raw, line)) return;
  const std::uint64_t known = report_.known;
  read_whole(line);
  // What was known of it before it was read again is no second line.
  report_.known = std::min(report_.known, std::max(known, known_before + 1));
}

// However many processes wrote into it, it is one line that is known.
void Reading::read_whole(const Line& line) {
  if (trimmed(line.text).empty()) ++report_.blank;
  const std::uint64_t known_before = report_.known;
  here_ = mark_of(line, Stamp{});
  if (line.azure_prefix && !app_service_) app_service_ = here_;
  other_platform_ |= line.heroku;
  read_lines(line.text, line);
  if (line.heroku || line.origin == Origin::AzurePlatform) ++report_.known;
  report_.known = std::min(report_.known, known_before + 1);
  if (report_.known > 0 && first_known_ == 0) first_known_ = number_;
}

void Reading::read_lines(std::string_view rest, const Line& line) {
  // Syslog daemons write a newline as #012.
  const bool octal = contains(rest, "#012");
  if (!octal && rest.find('\n') == std::string_view::npos) {
    read_text(rest, line);
  } else {
    for (std::size_t count = 0; count < kPartsMax; ++count) {
      const std::size_t newline = rest.find('\n');
      const std::size_t code = octal ? rest.find("#012") : std::string_view::npos;
      const std::size_t end = std::min(newline, code);
      read_text(rest.substr(0, end), line);
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + (code < newline ? 4 : 1));
    }
  }
}

void Reading::read_text(std::string_view text, const Line& line) {
  const Hits hits = scan(text);
  if (line.json && !line.object.empty() && contains(line.object, "\"timeout\"")) {
    if (const auto value = json_timeout(line.object)) {
      timeout_ = value;
      timeout_by_command_ = false;
      any_timeout_set_ = true;
      ++report_.known;
    }
  }
  if (hits.none() && open_lanes_ == 0 && continued_.empty()) {
    return;
  }
  if (hits.has(Word::Traceback) && hits.has(Word::FrameFile)) {
    const std::string lines = in_lines(text, hits.at(Word::Traceback));
    if (!lines.empty()) return read_lines(lines, line);
  }
  if (read_parts(text, line, hits)) ++report_.known;
}

// @return whether the whole line has to be read again: its prefix is believed from now on, and so
// is the first line's that had it
bool Reading::learn_prefix(const Record& record, std::string_view text, const Line& line) {
  if (text.data() != line.text.data() || record.stamp.clock == Clock::None) return false;
  Prefixes& prefixes = unwrapper_.prefixes();
  if (record.begin == 0 && !line.learnt) prefixes.note_none();
  if (again_ || record.begin == 0) return false;
  const std::string_view prefix = text.substr(0, record.begin);
  const auto first = prefixes.note(prefix, number_);
  if (!first) return false;
  again_ = true;
  const std::string_view name = line.source.empty() ? prefixes.find(prefix).source : "";
  if (name.empty()) return true;
  const std::uint32_t to = lives_.source(name);
  const LifeId moved = lives_.move(*first, source_of(line), to);
  for (Ended& ended : timeouts_)
    if (moved != kNobody && ended.life == moved) ended.source = to;
  return true;
}

bool Reading::read_parts(std::string_view text, const Line& line, const Hits& hits) {
  // Two processes may have written into one line.
  const std::size_t second = second_record(text, hits);
  if (second != std::string_view::npos) {
    read_text(text.substr(0, second), line);
    read_text(text.substr(second), line);
    return true;
  }
  note_platform_signs(text, hits);
  const auto record = read_record(text, hits);
  if (record && learn_prefix(*record, text, line)) return false;
  const bool access = is_access_line(text, hits);
  bool part = false;
  const bool relevant = record || open_lanes_ > 0 || hits.has(Word::Traceback) ||
                        hits.has(Word::FrameFile) || hits.has(Word::ChainedDuring) ||
                        hits.has(Word::ChainedCause) || hits.has(Word::FatalAborted);
  bool in_request = false;
  if (relevant) {
    Lane& lane = lane_of(line);
    const bool dump = read_dump(text, hits, lane);
    read_traceback(text, hits, dump || record.has_value() || access, lane, part);
    part |= dump;
    in_request = part && lane.bound.kind == Kind::FailedRequest;
    if (record) {
      here_ = mark_of(line, record->stamp);
      if (here_.when.known()) {
        if (!report_.first.known()) report_.first = here_.when;
        report_.last = here_.when;
        victims_.note_record(here_.when);
      }
      if (record->kind != Kind::None) on_record(*record, line, lane);
    }
  }
  if (access) lives_.serve(source_of(line));
  const bool settings = read_settings(text, line, hits, record && record->kind != Kind::None);
  const bool platform = read_platform(text, line, hits, in_request);
  return record || access || part || settings || platform;
}

}  // namespace tricorn::control::doctor
