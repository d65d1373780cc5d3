#include "config/control_paths.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace tricorn::config {

std::vector<std::string> control_directories(const Variable& variable, uid_t user) {
  std::vector<std::string> directories;
  const char* runtime = variable("XDG_RUNTIME_DIR");
  const char* home = variable("HOME");
  if (runtime != nullptr && *runtime == '/')
    directories.push_back(fmt::format("{}/tricorn", runtime));
  if (home != nullptr && *home == '/') directories.push_back(fmt::format("{}/.tricorn", home));
  directories.push_back(fmt::format("/tmp/tricorn-{}", user));
  return directories;
}

bool prepare_control_directory(const std::string& directory, uid_t user) {
  ::mkdir(directory.c_str(), 0700);
  struct stat status {};
  // Not through a symbolic link: in /tmp anybody may have put one there.
  if (::lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  return status.st_uid == user && (status.st_mode & 0022) == 0;
}

}  // namespace tricorn::config
