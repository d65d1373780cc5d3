#include "diagnose/kernel_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// Inode of the first pid namespace. Source: Linux include/linux/proc_ns.h, PROC_PID_INIT_INO
constexpr ino_t kFirstPidNamespace = 0xEFFFFFFC;
/// A reader's buffer must hold a whole record. Source: Linux CONSOLE_EXT_LOG_MAX
constexpr std::size_t kRecordBytes = 8192;
/// Records read at one death: more than the largest ring of a usual kernel holds.
constexpr int kRecordsMax = 20'000;
constexpr std::size_t kVictimsMax = 64;

bool kernel_pids_are_ours() {
  struct stat own {};
  return ::stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == kFirstPidNamespace;
}

/// "…,task=NAME,pid=N,uid=0": a name may hold any of these characters, so from the end.
std::optional<OomVictim> in_summary(std::string_view text) {
  constexpr std::string_view kTask = ",task=";
  constexpr std::string_view kPid = ",pid=";
  const std::size_t pid = text.rfind(kPid);
  const std::size_t task = text.find(kTask);
  if (pid == std::string_view::npos || task == std::string_view::npos || task > pid)
    return std::nullopt;
  const std::size_t name = task + kTask.size();
  return OomVictim{static_cast<pid_t>(number_from(text.substr(pid + kPid.size()))),
                   std::string(text.substr(name, pid - name))};
}

/// "… Killed process N (NAME) total-vm:…"
std::optional<OomVictim> in_killed(std::string_view text) {
  constexpr std::string_view kKilled = "illed process ";
  const std::size_t at = text.find(kKilled);
  const std::size_t open = text.find('(', at);
  const std::size_t close = text.rfind(')', text.find(" total-vm:"));
  if (at == std::string_view::npos || close == std::string_view::npos || close < open)
    return std::nullopt;
  return OomVictim{static_cast<pid_t>(number_from(text.substr(at + kKilled.size()))),
                   std::string(text.substr(open + 1, close - open - 1))};
}

}  // namespace

std::optional<OomVictim> oom_victim_in(std::string_view record) {
  const std::size_t head = record.find(';');
  if (head == std::string_view::npos) return std::nullopt;
  // The kernel's own words only, facility 0: anybody who may write there can say the rest.
  // Source: Linux Documentation/ABI/testing/dev-kmsg
  if (number_from(record) >> 3 != 0) return std::nullopt;
  const std::string_view line = record.substr(head + 1);
  const std::string_view text = line.substr(0, line.find('\n'));
  if (text.starts_with("oom-kill:")) return in_summary(text);
  return text.find("emory: Killed process ") == std::string_view::npos ? std::nullopt
                                                                       : in_killed(text);
}

KernelLog::KernelLog() {
  if (!kernel_pids_are_ours()) return;
  log_.reset(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (log_.valid() && ::lseek(log_.get(), 0, SEEK_END) < 0) log_.reset();
}

std::vector<OomVictim> KernelLog::new_victims() {
  std::vector<OomVictim> victims;
  std::array<char, kRecordBytes> record;
  for (int i = 0; log_.valid() && i < kRecordsMax; ++i) {
    const ssize_t bytes = ::read(log_.get(), record.data(), record.size());
    if (bytes < 0 && errno == EPIPE) continue;  // records we have missed
    if (bytes <= 0) break;
    auto victim = oom_victim_in({record.data(), static_cast<std::size_t>(bytes)});
    if (victim && victims.size() < kVictimsMax) victims.push_back(*std::move(victim));
  }
  return victims;
}

}  // namespace tricorn::diagnose
