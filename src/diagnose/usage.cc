#include "diagnose/usage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "diagnose/procfs.h"

namespace tricorn::diagnose {

void parse_usage_stat(std::string_view text, long ticks, Usage& usage) {
  const std::size_t name_end = text.rfind(')');  // a name may hold blanks and brackets itself
  if (name_end == std::string_view::npos) return;
  const auto fields = fields_of(text.substr(name_end + 1), 13);
  if (fields.size() < 13 || ticks <= 0) return;
  usage.state = fields[0].front();
  const std::uint64_t used = number_from(fields[11]) + number_from(fields[12]);
  usage.cpu_ns = static_cast<std::int64_t>(used) * (1'000'000'000 / ticks);
}

void parse_usage_statm(std::string_view text, long page_bytes, Usage& usage) {
  const auto fields = fields_of(text, 2);
  if (fields.size() == 2)
    usage.rss_bytes = static_cast<std::int64_t>(number_from(fields[1])) * page_bytes;
}

Usage usage_of(pid_t pid) {
  static const long kTicks = ::sysconf(_SC_CLK_TCK);
  static const long kPageBytes = ::sysconf(_SC_PAGESIZE);
  Usage usage;
  const auto stat = read_file(AT_FDCWD, fmt::format("/proc/{}/stat", pid).c_str());
  const auto statm = read_file(AT_FDCWD, fmt::format("/proc/{}/statm", pid).c_str());
  if (stat) parse_usage_stat(*stat, kTicks, usage);
  if (statm) parse_usage_statm(*statm, kPageBytes, usage);
  return usage;
}

}  // namespace tricorn::diagnose
