#include "base/log.h"

#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <utility>

#include "base/json_text.h"

namespace tricorn::base {
namespace {

constexpr std::array<const char*, 5> kNames{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

const char* name_of(Level level) { return kNames[static_cast<std::size_t>(level)]; }

pid_t pid_of(const Record& record) { return record.pid != 0 ? record.pid : ::getpid(); }

}  // namespace

Level level_from(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string_view candidate = kNames[i];
    if (candidate.size() == name.size() &&
        ::strncasecmp(candidate.data(), name.data(), name.size()) == 0) {
      return static_cast<Level>(i);
    }
  }
  return Level::Info;
}

std::string format_line(std::time_t wall, const Record& record) {
  std::tm local{};
  ::localtime_r(&wall, &local);
  char stamp[40];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S %z", &local);
  char prefix[96];
  std::snprintf(prefix, sizeof prefix, "[%s] [%d] [%s] ", stamp, pid_of(record),
                name_of(record.level));
  std::string line(prefix);
  line.append(record.message).push_back('\n');
  line.append(record.tail);
  return line;
}

std::string rfc3339(const timespec& wall) {
  std::tm utc{};
  ::gmtime_r(&wall.tv_sec, &utc);
  char stamp[64];
  const std::size_t size = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(stamp + size, sizeof stamp - size, ".%06ldZ", wall.tv_nsec / 1000);
  return stamp;
}

void append_fields(std::string& json, std::span<const Field> fields) {
  for (const Field& field : fields) {
    json += ',';
    append_json_string(json, field.name);
    json += ':';
    if (field.number) {
      json += field.value;
    } else {
      append_json_string(json, field.value);
    }
  }
}

std::string format_json(const timespec& wall, const Record& record) {
  std::string line = "{\"timestamp\":\"" + rfc3339(wall) + "\",\"severity\":\"";
  line += name_of(record.level);
  line += "\",\"log.logger\":\"tricorn.error\",\"process.pid\":" + std::to_string(pid_of(record));
  line += ",\"message\":";
  append_json_string(line, record.message);
  if (!record.tail.empty()) {
    line += ",\"exception.stacktrace\":";
    append_json_string(line, record.tail);
  }
  append_fields(line, record.fields);
  line += "}\n";
  return line;
}

Result<void> Log::open(const LogOptions& options) {
  if (options.path == "-") {
    outlet_.share(2);
  } else if (auto opened = outlet_.open_file(options.path); !opened) {
    return opened;
  }
  options_ = options;
  return {};
}

void Log::put(const Record& record) const {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  outlet_.write(options_.style == Style::Json ? format_json(now, record)
                                              : format_line(now.tv_sec, record));
}

// One JSON object a datagram: pid, level as Python counts them, message, tail.
bool Log::send(const Record& record) const {
  const auto level = std::to_string(10 * (static_cast<int>(record.level) + 1));
  std::string json = "{\"pid\":" + std::to_string(pid_of(record)) + ",\"level\":" + level;
  json += ",\"message\":";
  append_json_string(json, record.message);
  json += ",\"tail\":";
  append_json_string(json, record.tail);
  const std::uint64_t before = undelivered_.exchange(0);
  json += ",\"undelivered\":" + std::to_string(before) + "}";
  if (::send(channel_.get(), json.data(), json.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
    return true;
  undelivered_ += before + 1;
  return false;
}

void Log::write(const Record& record) const {
  if (!enabled(record.level)) return;
  if (on_line_) on_line_(record);
  if (channel_.valid() && send(record)) return;
  put(record);
  if (sink_ != nullptr) sink_->take(record);
  if (outlet_.behind() || sink_ != nullptr) flush();
}

void Log::write_raw(std::string_view bytes) const { outlet_.write(bytes); }

void Log::flush() const {
  outlet_.flush();
  if (const std::uint64_t lost = outlet_.take_dropped(); lost != 0) {
    const std::string note = "Log reader too slow: " + std::to_string(lost) + " lines dropped";
    put({Level::Warning, note});
  }
  if (sink_ == nullptr) return;
  sink_behind_.store(!sink_->flush());
  if (const std::string complaint = sink_->complaint(); !complaint.empty())
    put({Level::Warning, complaint});
}

}  // namespace tricorn::base
