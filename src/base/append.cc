#include "base/append.h"

#include <fcntl.h>

#include <cerrno>

namespace tricorn::base {

UniqueFd open_to_append(const std::string& path, mode_t mode) {
  constexpr int kFlags = O_APPEND | O_CLOEXEC | O_NONBLOCK;
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | kFlags, mode));
  // A FIFO that nobody reads yet: opened for reading too, it can be opened now. Source: fifo(7).
  if (!file.valid() && errno == ENXIO) file.reset(::open(path.c_str(), O_RDWR | kFlags));
  return file;
}

}  // namespace tricorn::base
