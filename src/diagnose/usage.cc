#include "diagnose/usage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/unique_fd.h"
#include "diagnose/kernel_look.h"
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

std::optional<std::string> uninterruptible_in(pid_t pid) {
  const base::UniqueFd process = open_process(pid);
  if (!process.valid()) return std::nullopt;
  for (const int tid : numbers_in(process.get(), "task")) {
    ThreadLook look;
    parse_stat(task_text(process.get(), tid, "stat"), look);
    if (look.state != 'D') continue;
    const std::string wchan = task_text(process.get(), tid, "wchan");
    return wchan.empty() || wchan == "0" ? "the kernel" : wchan;
  }
  return std::nullopt;
}

std::vector<SocketInode> sockets_of(pid_t pid) {
  std::vector<SocketInode> sockets;
  const base::UniqueFd process = open_process(pid);
  if (!process.valid()) return sockets;
  for (const int tid : numbers_in(process.get(), "task")) {
    const std::string folder = fmt::format("task/{}/fd", tid);
    for (const int fd : numbers_in(process.get(), folder.c_str())) {
      struct stat status {};
      const std::string name = fmt::format("{}/{}", folder, fd);
      if (::fstatat(process.get(), name.c_str(), &status, 0) == 0 && S_ISSOCK(status.st_mode))
        sockets.emplace_back(fd, status.st_ino);
    }
    if (!sockets.empty()) break;  // they all have the same
  }
  return sockets;
}

std::string descriptors_text(const std::vector<std::string>& links) {
  std::map<std::string, std::size_t> kinds;
  std::map<std::string, std::size_t> files;
  for (const std::string& link : links) {
    if (link.starts_with("socket:")) {
      ++kinds["sockets"];
    } else if (link.starts_with("pipe:")) {
      ++kinds["pipes"];
    } else if (link.starts_with('/')) {
      ++kinds["files"];
      ++files[link];
    } else {
      ++kinds["others"];
    }
  }
  const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
  std::vector<std::pair<std::string, std::size_t>> sorted(kinds.begin(), kinds.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [kind, count] : sorted) {
    text += fmt::format("{}{} {}", text.empty() ? "; open: " : ", ", count, kind);
    const auto most = std::max_element(files.begin(), files.end(), fewer);
    if (kind == "files" && most->second > 1)
      text += fmt::format(" ({} of {})", most->second, most->first);
  }
  return text;
}

std::string descriptors_text(pid_t pid) {
  constexpr std::size_t kLinksRead = 4096;  // some 2 us each
  const base::UniqueFd process = open_process(pid);
  std::vector<std::string> links;
  if (!process.valid()) return "";
  for (const int fd : numbers_in(process.get(), "fd")) {
    char target[512];
    const ssize_t bytes =
        ::readlinkat(process.get(), fmt::format("fd/{}", fd).c_str(), target, sizeof target);
    if (bytes > 0) links.emplace_back(target, static_cast<std::size_t>(bytes));
    if (links.size() == kLinksRead) break;
  }
  return descriptors_text(links);
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
