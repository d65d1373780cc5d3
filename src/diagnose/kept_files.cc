#include "diagnose/kept_files.h"

#include <fcntl.h>

#include <utility>

#include "diagnose/procfs.h"

namespace tricorn::diagnose {

std::optional<std::string> KeptFiles::read(const std::string& path) {
  const auto kept = files_.find(path);
  if (kept != files_.end()) {
    if (auto text = read_open_file(kept->second.get())) return text;
    files_.erase(kept);
  }
  base::UniqueFd file = open_file(AT_FDCWD, path.c_str());
  if (!file.valid()) return std::nullopt;
  auto text = read_open_file(file.get());
  if (text && files_.size() < most_) files_.emplace(path, std::move(file));
  return text;
}

}  // namespace tricorn::diagnose
