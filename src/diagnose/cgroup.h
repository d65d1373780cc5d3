// Counters of the control groups a process is in: v1, v2 or both at once (hybrid), as mounted here.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// A place where a hierarchy of control groups is mounted.
struct CgroupMount {
  bool unified = false;     ///< v2
  std::string controllers;  ///< v1: "rw,cpu,cpuacct", the super block's options
  std::string root;         ///< the group that is mounted there, "/" for all
  std::string directory;
};

/// Source: proc_pid_mountinfo(5), cgroups(7)
[[nodiscard]] std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);

/// Directory of a process's group for one controller, with the mount point it ends at.
struct CgroupPlace {
  bool unified = false;
  std::string directory;  ///< empty: the controller is not there
  std::string top;        ///< the mount point: no ancestor above it can be seen
};

/// Where the group of `controller` lies. A v1 hierarchy that has the controller wins, else v2.
/// @param membership  text of /proc/PID/cgroup
[[nodiscard]] CgroupPlace find_cgroup(const std::vector<CgroupMount>& mounts,
                                      std::string_view membership, std::string_view controller);

/// Reads the counters of one process's groups. Keeps the paths until the membership changes.
class CgroupReader {
 public:
  CgroupReader();
  /// @param membership  text of /proc/PID/cgroup
  /// @return whether the process has moved since the last call
  bool follow(std::string_view membership);
  /// The text last followed.
  [[nodiscard]] const std::string& membership() const { return membership_; }
  /// Renews only what every look compares, kills for memory and refused processes: two files.
  void renew(CgroupCounters& counters) const;
  /// All counters: about a dozen files.
  [[nodiscard]] CgroupCounters read_all() const;

 private:
  void read_oom(CgroupCounters& counters) const;
  void read_memory(CgroupCounters& counters) const;
  void read_cpu(CgroupCounters& counters) const;
  void read_pids(CgroupCounters& counters) const;
  void read_freezer(CgroupCounters& counters) const;

  std::vector<CgroupMount> mounts_;
  std::string membership_;
  CgroupPlace memory_;
  CgroupPlace cpu_;
  CgroupPlace pids_;
  CgroupPlace freezer_;
  CgroupPlace unified_;
};

}  // namespace tricorn::diagnose
