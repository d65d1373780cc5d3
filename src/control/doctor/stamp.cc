#include "control/doctor/stamp.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

constexpr std::int64_t kDayMs = 86'400'000;
constexpr std::int64_t kQuarterMs = 900'000;
// A zone is at most 14 hours from UTC, two zones at most 26 from each other.
constexpr std::int64_t kZonesApartMs = 26LL * 3'600'000;
// Syslog names no year; it is read as this one (a leap year).
constexpr std::int64_t kSyslogYear = 2000;
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

// Days since 1970-01-01. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

// Exactly `count` digits at `at`; -1 when they are not.
int digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  for (std::size_t index = at; index < at + count; ++index) {
    if (!is_digit(text[index])) return -1;
    value = value * 10 + (text[index] - '0');
  }
  return value;
}

// "04:05:06" at `at`, in milliseconds of the day; -1 when it is not one.
std::int64_t clock_ms(std::string_view text, std::size_t at) {
  const int hour = digits(text, at, 2);
  const int minute = digits(text, at + 3, 2);
  const int second = digits(text, at + 6, 2);
  if (hour < 0 || minute < 0 || second < 0 || hour > 23 || minute > 59 || second > 60) return -1;
  if (text[at + 2] != ':' || text[at + 5] != ':') return -1;
  return ((hour * 60 + minute) * 60 + second) * 1000LL;
}

// ".123456" or ",123": milliseconds; `count` has the number of digits.
std::int64_t take_fraction(std::string_view& text, int& count) {
  count = 0;
  if (text.size() < 2 || (text[0] != '.' && text[0] != ',') || !is_digit(text[1])) return 0;
  text.remove_prefix(1);
  std::int64_t ms = 0;
  while (!text.empty() && is_digit(text[0]) && count < 12) {
    if (count < 3) ms = ms * 10 + (text[0] - '0');
    ++count;
    text.remove_prefix(1);
  }
  for (int missing = count; missing < 3; ++missing) ms *= 10;
  return ms;
}

// "Z", "+01:00", "+0100", "+01", perhaps after a blank; `offset_ms` is what to subtract.
bool take_zone(std::string_view& text, std::int64_t& offset_ms, bool& utc) {
  offset_ms = 0;
  utc = text.starts_with("Z");
  if (utc) {
    text.remove_prefix(1);
    return true;
  }
  std::string_view rest = text;
  if (rest.size() > 1 && rest[0] == ' ' && (rest[1] == '+' || rest[1] == '-'))
    rest.remove_prefix(1);
  if (rest.empty() || (rest[0] != '+' && rest[0] != '-')) return false;
  const int sign = rest[0] == '-' ? -1 : 1;
  const int hours = digits(rest, 1, 2);
  if (hours < 0) return false;
  std::size_t used = 3;
  const std::size_t colon = rest.size() > 3 && rest[3] == ':' ? 1 : 0;
  int minutes = digits(rest, 3 + colon, 2);
  if (minutes >= 0)
    used += 2 + colon;
  else
    minutes = 0;
  if (used < rest.size() && is_word(rest[used])) return false;
  rest.remove_prefix(used);
  offset_ms = sign * (hours * 60LL + minutes) * 60'000;
  text = rest;
  return true;
}

int month_of(std::string_view text) {
  for (std::size_t index = 0; index < kMonths.size(); ++index)
    if (text.starts_with(kMonths[index])) return static_cast<int>(index) + 1;
  return 0;
}

bool is_wall(Clock clock) { return clock != Clock::None && clock != Clock::Uptime; }

const Stamp& wall_of(const When& when) {
  return is_wall(when.record.clock) ? when.record : when.wrapper;
}

}  // namespace

std::optional<double> seconds_between(const When& from, const When& to) {
  const auto same = [](const Stamp& left, const Stamp& right) {
    return left.clock != Clock::None && left.clock == right.clock;
  };
  const bool by_record = same(from.record, to.record);
  if (!by_record && !same(from.wrapper, to.wrapper)) return std::nullopt;
  std::int64_t ms = by_record ? to.record.ms - from.record.ms : to.wrapper.ms - from.wrapper.ms;
  if (!by_record && from.wrapper.clock == Clock::Syslog) {
    // December is followed by January of a year that is not written.
    if (ms < -183 * kDayMs) ms += 366 * kDayMs;
    if (ms > 183 * kDayMs) ms -= 366 * kDayMs;
  }
  return static_cast<double>(ms) / 1000.0;
}

bool may_be_one_moment(const When& left, const When& right, double slack_s) {
  const Stamp& a = wall_of(left);
  const Stamp& b = wall_of(right);
  if (!is_wall(a.clock) || !is_wall(b.clock)) return true;
  std::int64_t apart = std::llabs(a.ms - b.ms);
  if (a.clock == Clock::Syslog || b.clock == Clock::Syslog)
    apart %= kDayMs;
  else if (apart > kZonesApartMs)
    return false;
  const std::int64_t rest = apart % kQuarterMs;
  const auto slack = static_cast<std::int64_t>(slack_s * 1000);
  return rest <= slack || kQuarterMs - rest <= slack;
}

std::optional<IsoStamp> take_iso(std::string_view& text) {
  if (text.size() < 19 || text[4] != '-' || text[7] != '-') return std::nullopt;
  if (text[10] != 'T' && text[10] != ' ') return std::nullopt;
  const int year = digits(text, 0, 4);
  const int month = digits(text, 5, 2);
  const int day = digits(text, 8, 2);
  const std::int64_t of_day = clock_ms(text, 11);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || of_day < 0) return std::nullopt;
  IsoStamp iso;
  iso.t_separated = text[10] == 'T';
  std::string_view rest = text.substr(19);
  iso.stamp.ms = days_from_civil(year, month, day) * kDayMs + of_day;
  iso.stamp.ms += take_fraction(rest, iso.fraction_digits);
  std::int64_t offset_ms = 0;
  const bool zoned = take_zone(rest, offset_ms, iso.utc);
  iso.stamp.clock = zoned ? Clock::IsoZoned : Clock::IsoNaive;
  iso.stamp.ms -= offset_ms;
  text = rest;
  return iso;
}

std::optional<Stamp> take_syslog_time(std::string_view& text) {
  // "Mar 3 17:08:10": some forwarders do not pad the day.
  if (text.size() >= 14 && text[3] == ' ' && is_digit(text[4]) && text[5] == ' ') {
    const std::string padded = fmt::format("{} {}", text.substr(0, 4), text.substr(4, 10));
    std::string_view whole = padded;
    const auto stamp = take_syslog_time(whole);
    if (stamp) text.remove_prefix(14);
    return stamp;
  }
  if (text.size() < 15 || text[3] != ' ' || text[6] != ' ') return std::nullopt;
  const int month = month_of(text);
  const int day = text[4] == ' ' ? digits(text, 5, 1) : digits(text, 4, 2);
  const std::int64_t of_day = clock_ms(text, 7);
  if (month == 0 || day < 1 || day > 31 || of_day < 0) return std::nullopt;
  std::string_view rest = text.substr(15);
  int count = 0;
  const std::int64_t fraction = take_fraction(rest, count);
  text = rest;
  return Stamp{Clock::Syslog,
               days_from_civil(kSyslogYear, month, day) * kDayMs + of_day + fraction};
}

std::optional<Stamp> take_calendar_time(std::string_view& text) {
  if (text.size() < 24 || text[3] != ' ' || text[7] != ' ' || text[10] != ' ' || text[19] != ' ')
    return std::nullopt;
  bool is_day = false;
  for (const std::string_view day : kDays) is_day |= text.starts_with(day);
  const int month = month_of(text.substr(4));
  const int day = text[8] == ' ' ? digits(text, 9, 1) : digits(text, 8, 2);
  const std::int64_t of_day = clock_ms(text, 11);
  const int year = digits(text, 20, 4);
  if (!is_day || month == 0 || day < 1 || of_day < 0 || year < 0) return std::nullopt;
  text.remove_prefix(24);
  return Stamp{Clock::Calendar, days_from_civil(year, month, day) * kDayMs + of_day};
}

std::string time_text(const When& when) {
  const Stamp& stamp = wall_of(when);
  if (!is_wall(stamp.clock)) return "";
  std::int64_t day = stamp.ms / kDayMs - (stamp.ms % kDayMs < 0 ? 1 : 0);
  const std::int64_t second = (stamp.ms - day * kDayMs) / 1000;
  day += 719468;
  const std::int64_t era = (day >= 0 ? day : day - 146096) / 146097;
  const std::int64_t of_era = day - era * 146097;
  const std::int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const std::int64_t shifted = (5 * of_year + 2) / 153;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t date = of_year - (153 * shifted + 2) / 5 + 1;
  const std::string time =
      fmt::format("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
  if (stamp.clock == Clock::Syslog)
    return fmt::format("{} {:02} {}", kMonths[static_cast<std::size_t>(month - 1)], date, time);
  return fmt::format("{:04}-{:02}-{:02} {}", year + era * 400 + (month <= 2 ? 1 : 0), month, date,
                     time);
}

}  // namespace tricorn::control::doctor
