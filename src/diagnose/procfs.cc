#include "diagnose/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>

namespace tricorn::diagnose {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view skip_blanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text;
}

/// The fields of a stat line behind "pid (name) ": [0] is field 3, the state.
std::vector<std::string_view> stat_fields(std::string_view text) {
  const std::size_t end = text.rfind(')');
  return end == std::string_view::npos ? std::vector<std::string_view>{}
                                       : fields_of(text.substr(end + 1));
}

std::uint64_t hex(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  return number_from(text, 16);
}

}  // namespace

base::UniqueFd open_file(int directory, const char* path) {
  return base::UniqueFd(::openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

std::optional<std::string> read_open_file(int file) {
  std::string text;
  std::size_t used = 0;
  constexpr std::size_t kReadBytes = 4096;
  while (used < kFileBytesMax) {
    // Long tables come a page at a time: the buffer grows with what came, not with the number of
    // reads.
    if (text.size() - used < kReadBytes) text.resize(std::max(2 * used, kReadBytes));
    const ssize_t got =
        ::pread(file, text.data() + used, text.size() - used, static_cast<off_t>(used));
    if (got < 0) return std::nullopt;
    used += static_cast<std::size_t>(got);
    // proc files give what fits of whole records, so only an empty read is the end of a long one.
    if (got == 0 || used < kReadBytes / 2) break;
  }
  text.resize(used);
  return text;
}

std::optional<std::string> read_file(int directory, const char* path) {
  const base::UniqueFd file = open_file(directory, path);
  return file.valid() ? read_open_file(file.get()) : std::nullopt;
}

std::string read_link(int directory, const char* path) {
  char target[512];
  const ssize_t got = ::readlinkat(directory, path, target, sizeof target);
  return got > 0 ? std::string(target, static_cast<std::size_t>(got)) : std::string();
}

std::vector<int> numbers_in(int directory, const char* path) {
  std::vector<int> numbers;
  const int fd = ::openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return numbers;
  const auto close_directory = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close_directory)> entries(::fdopendir(fd), close_directory);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name[0] >= '0' && name[0] <= '9') numbers.push_back(static_cast<int>(number_from(name)));
  }
  return numbers;
}

base::UniqueFd open_process(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  return base::UniqueFd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

pid_t pid_of(int process) {
  return static_cast<pid_t>(number_from(read_file(process, "stat").value_or("")));
}

std::string program_of(int process) {
  const std::string command = read_file(process, "cmdline").value_or("");
  const std::string first = command.substr(0, command.find('\0'));
  if (!first.empty()) return first.substr(first.rfind('/') + 1);
  const std::string name = read_file(process, "comm").value_or("");
  return name.substr(0, name.find_last_not_of("\n ") + 1);
}

std::uint64_t number_from(std::string_view text, int base) {
  text = skip_blanks(text);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::optional<std::uint64_t> value_of(std::string_view text, std::string_view name) {
  std::optional<std::uint64_t> value;
  each_line(text, [&](std::string_view line) {
    if (!line.starts_with(name) || line.size() == name.size()) return true;
    line.remove_prefix(name.size());
    if (line[0] != ' ' && line[0] != ':' && line[0] != '\t') return true;
    value = number_from(line.substr(1));
    return false;
  });
  return value;
}

std::vector<std::string_view> fields_of(std::string_view line, std::size_t most) {
  std::vector<std::string_view> fields;
  while (fields.size() < most && !(line = skip_blanks(line)).empty()) {
    const std::size_t end = std::min(line.find_first_of(" \t\n"), line.size());
    if (end == 0) break;
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return fields;
}

void parse_stat(std::string_view text, ThreadLook& look) {
  constexpr std::size_t kMajorFaults = 12 - 3;
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  const auto fields = stat_fields(text);
  if (fields.size() <= kMajorFaults || open > close) return;
  look.name = text.substr(open + 1, close - open - 1);
  look.state = fields[0][0];
  look.major_faults = number_from(fields[kMajorFaults]);
}

bool is_dying(std::string_view stat, std::string_view status) {
  constexpr std::size_t kFlags = 9 - 3;
  constexpr std::uint64_t kExiting = 0x4;         // PF_EXITING
  constexpr std::uint64_t kSigkillBit = 1u << 8;  // signal 9
  const auto fields = stat_fields(stat);
  if (fields.size() <= kFlags || (number_from(fields[kFlags]) & kExiting) != 0) return true;
  bool pending = false;
  each_line(status, [&](std::string_view line) {
    if (line.starts_with("SigPnd:") || line.starts_with("ShdPnd:")) {
      pending = pending || (number_from(line.substr(7), 16) & kSigkillBit) != 0;
    }
    return !line.starts_with("ShdPnd:");
  });
  return pending;
}

bool has_waited_for_children(std::string_view stat) {
  constexpr std::size_t kMinorFaults = 11 - 3;
  constexpr std::size_t kMajorFaults = 13 - 3;
  const auto fields = stat_fields(stat);
  return fields.size() > kMajorFaults &&
         number_from(fields[kMinorFaults]) + number_from(fields[kMajorFaults]) != 0;
}

void parse_thread_status(std::string_view text, ThreadLook& look) {
  const auto switches = value_of(text, "voluntary_ctxt_switches");
  if (switches) look.switches = static_cast<std::int64_t>(*switches);
}

void parse_schedstat(std::string_view text, ThreadLook& look) {
  const auto fields = fields_of(text, 3);
  if (fields.size() < 2) return;
  look.cpu_ns = static_cast<std::int64_t>(number_from(fields[0]));
  look.run_delay_ns = static_cast<std::int64_t>(number_from(fields[1]));
  if (fields.size() == 3) look.slices = static_cast<std::int64_t>(number_from(fields[2]));
}

void parse_syscall(std::string_view text, ThreadLook& look) {
  const auto fields = fields_of(text, 9);
  look.running = !fields.empty() && fields[0] == "running";
  if (fields.size() == 3) look.pc = hex(fields[2]);  // -1: blocked outside a system call
  if (fields.size() != 9) return;
  look.syscall = static_cast<std::int64_t>(number_from(fields[0]));
  for (std::size_t i = 0; i < look.args.size(); ++i) look.args[i] = hex(fields[i + 1]);
  look.sp = hex(fields[7]);
  look.pc = hex(fields[8]);
}

void parse_status(std::string_view text, ProcessLook& look) {
  constexpr std::uint64_t kKib = 1024;
  look.rss_bytes = value_of(text, "VmRSS").value_or(0) * kKib;
  look.swap_bytes = value_of(text, "VmSwap").value_or(0) * kKib;
  look.virtual_bytes = value_of(text, "VmSize").value_or(0) * kKib;
  look.tracer = static_cast<pid_t>(value_of(text, "TracerPid").value_or(0));
  const auto threads = value_of(text, "Threads");
  look.thread_count = threads ? static_cast<std::int64_t>(*threads) : -1;
}

Mapping parse_mapping(std::string_view line) {
  Mapping mapping;
  const auto fields = fields_of(line, 5);
  if (fields.size() < 5) return mapping;
  mapping.start = hex(fields[0]);
  const std::size_t dash = fields[0].find('-');
  if (dash != std::string_view::npos) mapping.end = hex(fields[0].substr(dash + 1));
  mapping.readable = fields[1].starts_with('r');
  mapping.writable = fields[1].size() > 1 && fields[1][1] == 'w';
  mapping.executable = fields[1].size() > 2 && fields[1][2] == 'x';
  const auto behind = static_cast<std::size_t>(fields[4].data() + fields[4].size() - line.data());
  mapping.file = skip_blanks(line.substr(behind));
  return mapping;
}

std::string module_at(std::string_view maps, std::uint64_t pc) {
  std::string module;
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    if (!mapping.holds(pc)) return true;
    module = mapping.name();
    return false;
  });
  return module;
}

NativeCode native_code_in(std::string_view maps, std::vector<std::uint64_t> instructions) {
  std::sort(instructions.begin(), instructions.end());
  std::map<std::string_view, unsigned> counts;  // by path
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    const auto first = std::lower_bound(instructions.begin(), instructions.end(), mapping.start);
    const auto behind = std::lower_bound(first, instructions.end(), mapping.end);
    if (behind != first) counts[mapping.file] += static_cast<unsigned>(behind - first);
    return true;
  });
  NativeCode native;
  native.samples = static_cast<unsigned>(instructions.size());
  for (const auto& [file, count] : counts) {
    if (count <= native.in_module) continue;
    native.in_module = count;
    native.module = file.substr(file.rfind('/') + 1);
  }
  return native;
}

bool is_stack_overflow(std::string_view maps, std::uint64_t address, std::uint64_t sp) {
  constexpr std::uint64_t kNear = 64 * 1024;
  bool overflow = false;
  each_line(maps, [&](std::string_view line) {
    const Mapping mapping = parse_mapping(line);
    if (mapping.end <= address || (!mapping.readable && mapping.start <= address)) return true;
    const bool above = mapping.start > address && mapping.writable;
    const std::uint64_t distance = sp > address ? sp - address : address - sp;
    overflow = above && mapping.start - address <= kNear && distance <= kNear;
    return false;
  });
  return overflow;
}

std::int64_t limit_in(std::string_view limits, std::string_view name) {
  const std::size_t at = limits.find(name);
  if (at == std::string_view::npos) return -1;
  const auto fields = fields_of(limits.substr(at + name.size()), 1);
  if (fields.empty() || fields[0] == "unlimited") return -1;
  return static_cast<std::int64_t>(number_from(fields[0]));
}

}  // namespace tricorn::diagnose
