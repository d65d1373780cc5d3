#include "diagnose/pipe_ends.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// What is still allowed of a search.
struct Budget {
  std::size_t links = kEndsLookedAt;
  std::int64_t until_ns = base::monotonic_ns() + kEndsSoughtNs;

  [[nodiscard]] bool spent() const { return links == 0 || base::monotonic_ns() > until_ns; }
};

/// Whether a descriptor may write (or read). Source: proc_pid_fdinfo(5), "flags", octal
bool is_open_for(int process, int fd, bool writing) {
  const auto info = read_file(process, fmt::format("fdinfo/{}", fd).c_str());
  const std::string_view text = info ? std::string_view(*info) : std::string_view();
  const std::size_t at = text.find("flags:\t");
  if (at == std::string_view::npos) return false;
  constexpr std::size_t kName = 7;
  const std::uint64_t mode = number_from(text.substr(at + kName), 8) & O_ACCMODE;
  return mode == O_RDWR || mode == (writing ? O_WRONLY : O_RDONLY);
}

bool has_end(int process, const std::string& pipe, bool writing, Budget& budget) {
  for (const int fd : numbers_in(process, "fd")) {
    if (budget.spent()) return false;
    --budget.links;
    if (read_link(process, fmt::format("fd/{}", fd).c_str()) == pipe &&
        is_open_for(process, fd, writing))
      return true;
  }
  return false;
}

/// All processes, the younger ones than the worker first: its children are among them.
std::vector<int> processes_from(int proc, pid_t worker) {
  std::vector<int> pids = numbers_in(proc, ".");
  std::sort(pids.begin(), pids.end());
  std::rotate(pids.begin(), std::upper_bound(pids.begin(), pids.end(), worker), pids.end());
  return pids;
}

}  // namespace

void find_other_end(int process, bool reads, Peer& peer) {
  if (peer.kind != Peer::Kind::Pipe) return;
  const pid_t worker = pid_of(process);
  const base::UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) return;
  Budget budget;
  for (const int pid : processes_from(proc.get(), worker)) {
    if (budget.spent()) return;
    const base::UniqueFd other(
        ::openat(proc.get(), std::to_string(pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (pid == worker || !other.valid() || !has_end(other.get(), peer.address, reads, budget))
      continue;
    // The keeper has the same descriptors as its worker.
    if (read_file(other.get(), "comm").value_or("").starts_with("tricorn-keeper")) continue;
    peer.more_ends = peer.other_end != 0;
    if (peer.more_ends) return;
    peer.other_end = pid;
    peer.other_program = program_of(other.get());
  }
}

}  // namespace tricorn::diagnose
