// Files of the kernel's that every look reads again: kept open, since opening and closing one takes
// as long as reading it.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "base/unique_fd.h"

namespace tricorn::diagnose {

/// Not for several threads at a time.
class KeptFiles {
 public:
  /// @param most  descriptors to keep; further files are opened for each read
  explicit KeptFiles(std::size_t most) : most_(most) {}
  /// The whole file as it is now. One whose content has gone, as that of a control group that was
  /// removed, is opened anew. @return nothing when it cannot be opened or read
  [[nodiscard]] std::optional<std::string> read(const std::string& path);

 private:
  std::size_t most_;
  std::map<std::string, base::UniqueFd> files_;
};

}  // namespace tricorn::diagnose
