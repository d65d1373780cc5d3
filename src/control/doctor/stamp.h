// Times as logs write them, and which of them may be compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tricorn::control::doctor {

/// Who wrote a stamp and whether it names its time zone. Only stamps of one clock are compared.
enum class Clock : std::uint8_t {
  None,
  RecordZoned,  ///< Gunicorn's own, with its offset
  RecordNaive,  ///< Gunicorn's own before 19, or with the offset lost
  IsoZoned,     ///< a wrapper's, with Z or an offset
  IsoNaive,
  Syslog,    ///< "Feb 03 04:05:06": no year, no zone
  Calendar,  ///< dmesg -T
  Uptime,    ///< seconds since the kernel started
};

struct Stamp {
  Clock clock = Clock::None;
  std::int64_t ms = 0;  ///< since 1970 UTC when zoned, else on the writer's wall clock or uptime
};

/// When a line was written: by its record, and by what wraps it.
struct When {
  Stamp record;
  Stamp wrapper;

  [[nodiscard]] bool known() const {
    return record.clock != Clock::None || wrapper.clock != Clock::None;
  }
};

/// Seconds from `from` to `to` on a clock both have; nothing when there is none.
[[nodiscard]] std::optional<double> seconds_between(const When& from, const When& to);

/// Whether two wall clocks of different makers may show one moment: they differ by whole quarters
/// of an hour (time zones), give or take `slack_s`. True when one of them is no wall clock.
[[nodiscard]] bool may_be_one_moment(const When& left, const When& right, double slack_s);

struct IsoStamp {
  Stamp stamp;
  int fraction_digits = 0;
  bool t_separated = false;  ///< 'T' between date and time, else a blank
  bool utc = false;          ///< ends with Z
};

/// Takes "2031-02-03T04:05:06.123Z", with a blank for T, a comma for the point, any offset, none.
[[nodiscard]] std::optional<IsoStamp> take_iso(std::string_view& text);

/// Takes "Feb 03 04:05:06" or "Feb  3 04:05:06.123".
[[nodiscard]] std::optional<Stamp> take_syslog_time(std::string_view& text);

/// Takes "Mon Feb  3 04:05:06 2031".
[[nodiscard]] std::optional<Stamp> take_calendar_time(std::string_view& text);

/// "2031-02-03 04:05:06", in UTC when the stamp is zoned; empty when there is no wall clock.
[[nodiscard]] std::string time_text(const When& when);

}  // namespace tricorn::control::doctor
