#include "diagnose/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "diagnose/kept_files.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// Limits from here on mean "none". Source: v1 shows PAGE_COUNTER_MAX, just below 2^63.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

bool names(std::string_view list, std::string_view controller) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    if (list.substr(0, end) == controller) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

std::optional<CgroupMount> parse_mount(std::string_view line) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  const auto left = fields_of(line.substr(0, dash));
  const auto right = fields_of(line.substr(dash + 3));
  if (left.size() < 5 || right.size() < 3 || !right[0].starts_with("cgroup")) return std::nullopt;
  return CgroupMount{right[0] == "cgroup2", std::string(right[2]), std::string(left[3]),
                     std::string(left[4])};
}

/// The path of a membership line for the controller ("" = v2); nothing when there is no such line.
std::optional<std::string_view> path_in(std::string_view membership, std::string_view controller) {
  std::optional<std::string_view> path;
  each_line(membership, [&](std::string_view line) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) return true;
    const std::string_view list = line.substr(first + 1, second - first - 1);
    if (!(controller.empty() ? list.empty() : names(list, controller))) return true;
    path = line.substr(second + 1);
    return false;
  });
  return path;
}

std::string join(const CgroupMount& mount, std::string_view path) {
  if (mount.root != "/" && path.starts_with(mount.root)) path.remove_prefix(mount.root.size());
  if (path.starts_with("/..")) path = "";  // outside of our namespace: the mount is all we see
  return mount.directory + (path == "/" ? "" : std::string(path));
}

/// Files of the groups, which all workers mostly share, and the machine's counters.
std::optional<std::string> read_kept(const std::string& path) {
  constexpr std::size_t kFilesMax = 64;  // about three groups with some ancestors
  static KeptFiles files(kFilesMax);
  return files.read(path);
}

std::optional<std::string> read_in(const std::string& directory, const char* name) {
  return directory.empty() ? std::nullopt : read_kept(directory + "/" + name);
}

std::optional<std::uint64_t> number_in(const std::string& directory, const char* name) {
  const auto text = read_in(directory, name);
  if (!text || text->empty() || text->starts_with("max") || text->starts_with('-'))
    return std::nullopt;
  return number_from(*text);
}

/// Calls `use` with the group's directory and those of all visible ancestors.
template <class Use>
void each_level(const CgroupPlace& place, Use use) {
  std::string directory = place.directory;
  while (directory.size() >= place.top.size() && !directory.empty()) {
    use(directory);
    if (directory.size() == place.top.size()) return;
    directory.resize(directory.rfind('/'));
  }
}

double quota_of(const CgroupPlace& place, const std::string& directory) {
  if (place.unified) {
    const auto text = read_in(directory, "cpu.max");
    const auto fields = text ? fields_of(*text, 2) : std::vector<std::string_view>{};
    if (fields.size() < 2 || fields[0] == "max") return 0;
    return static_cast<double>(number_from(fields[0])) /
           static_cast<double>(std::max<std::uint64_t>(number_from(fields[1]), 1));
  }
  const auto quota = number_in(directory, "cpu.cfs_quota_us");
  const auto period = number_in(directory, "cpu.cfs_period_us");
  return quota && period && *period > 0 ? static_cast<double>(*quota) / static_cast<double>(*period)
                                        : 0;
}

void lower_limit(std::uint64_t& limit, std::optional<std::uint64_t> other) {
  if (other && *other < kNoLimit && (limit == 0 || *other < limit)) limit = *other;
}

/// OOM kills of the whole machine. 30 us: only where the group's own counter is not enough.
std::optional<std::uint64_t> host_oom_kills() {
  return value_of(read_kept("/proc/vmstat").value_or(""), "oom_kill");
}

/// Microseconds in which some task waited for memory, of the group, else of the machine.
/// Source: Linux Documentation/accounting/psi.rst
std::optional<std::uint64_t> stall_in(const std::optional<std::string>& of_group) {
  constexpr std::string_view kTotal = "total=";
  const std::string text = of_group ? *of_group : read_kept("/proc/pressure/memory").value_or("");
  const std::size_t at = text.find(kTotal);
  if (!text.starts_with("some") || at == std::string::npos) return std::nullopt;
  return number_from(std::string_view(text).substr(at + kTotal.size()));
}

}  // namespace

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  each_line(mountinfo, [&](std::string_view line) {
    if (auto mount = parse_mount(line)) mounts.push_back(std::move(*mount));
    return true;
  });
  return mounts;
}

CgroupPlace find_cgroup(const std::vector<CgroupMount>& mounts, std::string_view membership,
                        std::string_view controller) {
  const auto has_it = [&](const CgroupMount& mount) {
    return !mount.unified && names(mount.controllers, controller);
  };
  const auto is_unified = [](const CgroupMount& mount) { return mount.unified; };
  auto mount = std::find_if(mounts.begin(), mounts.end(), has_it);
  auto path = mount == mounts.end() ? std::nullopt : path_in(membership, controller);
  if (!path) {
    mount = std::find_if(mounts.begin(), mounts.end(), is_unified);
    path = path_in(membership, "");
  }
  if (mount == mounts.end() || !path) return {};
  return {mount->unified, join(*mount, *path), mount->directory};
}

CgroupReader::CgroupReader()
    : mounts_(parse_cgroup_mounts(read_file(AT_FDCWD, "/proc/self/mountinfo").value_or(""))) {}

bool CgroupReader::follow(std::string_view membership) {
  if (membership == membership_) return false;
  membership_ = membership;
  memory_ = find_cgroup(mounts_, membership, "memory");
  cpu_ = find_cgroup(mounts_, membership, "cpu");
  pids_ = find_cgroup(mounts_, membership, "pids");
  freezer_ = find_cgroup(mounts_, membership, "freezer");
  unified_ = find_cgroup(mounts_, membership, "");  // beside version 1's on hybrid systems
  return true;
}

void CgroupReader::read_oom(CgroupCounters& counters) const {
  counters.memory_path = memory_.directory;
  // The victim's own group counts the kill, whichever ancestor's limit was hit. Source:
  // mm/oom_kill.c
  const auto events =
      read_in(memory_.directory, memory_.unified ? "memory.events" : "memory.oom_control");
  counters.oom_kill = value_of(events.value_or(""), "oom_kill");
  if (!counters.oom_kill) counters.host_oom_kill = host_oom_kills();
}

void CgroupReader::renew(CgroupCounters& counters) const {
  read_oom(counters);
  read_pids(counters);
}

CgroupCounters CgroupReader::read_all() const {
  CgroupCounters counters;
  read_oom(counters);
  counters.host_oom_kill = host_oom_kills();
  read_memory(counters);
  read_cpu(counters);
  read_pids(counters);
  read_freezer(counters);
  return counters;
}

void CgroupReader::read_memory(CgroupCounters& counters) const {
  // An ancestor's limit stops us too.
  each_level(memory_, [&](const std::string& level) {
    std::optional<std::uint64_t> hits;
    if (memory_.unified) {
      const std::string events = read_in(level, "memory.events.local")
                                     .value_or(read_in(level, "memory.events").value_or(""));
      hits = value_of(events, "high");
      if (hits) *hits += value_of(events, "max").value_or(0);
    } else {
      hits = number_in(level, "memory.failcnt");
      // Where swap is limited to the same, that limit is met first.
      if (hits) *hits += number_in(level, "memory.memsw.failcnt").value_or(0);
    }
    if (hits) counters.memory_hits = counters.memory_hits.value_or(0) + *hits;
  });
  const std::string stat = read_in(memory_.directory, "memory.stat").value_or("");
  if (const auto of_files = value_of(stat, "workingset_refault_file"))
    counters.refaults = *of_files + value_of(stat, "workingset_refault_anon").value_or(0);
  counters.memory_stall_us =
      stall_in(memory_.unified ? read_in(memory_.directory, "memory.pressure") : std::nullopt);
  const char* limit = memory_.unified ? "memory.max" : "memory.limit_in_bytes";
  each_level(memory_, [&](const std::string& level) {
    lower_limit(counters.memory_limit, number_in(level, limit));
  });
}

void CgroupReader::read_cpu(CgroupCounters& counters) const {
  if (cpu_.directory.empty()) return;
  // An ancestor's quota stops us too, so the level that was stopped most often is the one to
  // report.
  each_level(cpu_, [&](const std::string& level) {
    const auto text = read_in(level, "cpu.stat");
    const auto throttled = text ? value_of(*text, "nr_throttled") : std::nullopt;
    if (!throttled || (counters.throttled && *counters.throttled >= *throttled)) return;
    counters.throttled = throttled;
    counters.periods = value_of(*text, "nr_periods");
    counters.throttled_ns =
        cpu_.unified
            ? static_cast<std::int64_t>(value_of(*text, "throttled_usec").value_or(0) * 1000)
            : static_cast<std::int64_t>(value_of(*text, "throttled_time").value_or(0));
    counters.cpu_quota = quota_of(cpu_, level);
  });
}

void CgroupReader::read_pids(CgroupCounters& counters) const {
  counters.pids_denied.reset();
  if (pids_.directory.empty()) return;
  each_level(pids_, [&](const std::string& level) {
    const auto denied = value_of(read_in(level, "pids.events").value_or(""), "max");
    if (denied) counters.pids_denied = counters.pids_denied.value_or(0) + *denied;
  });
}

// Version 2's freezer works beside version 1's where both are mounted.
void CgroupReader::read_freezer(CgroupCounters& counters) const {
  for (const CgroupPlace* place : {&freezer_, &unified_}) {
    if (place->directory.empty()) continue;
    each_level(*place, [&](const std::string& level) {
      const auto text = read_in(level, place->unified ? "cgroup.events" : "freezer.state");
      if (!text) return;
      // FREEZING or FROZEN, not THAWED: while one thread cannot freeze, the others stand still
      // already.
      counters.frozen =
          counters.frozen || text->starts_with("FR") || value_of(*text, "frozen").value_or(0) == 1;
    });
    if (freezer_.unified) break;  // the two are the same
  }
}

}  // namespace tricorn::diagnose
