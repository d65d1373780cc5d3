// A client connection on its way from one worker to another.
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace tricorn::arbiter {

struct ClientConnection {
  base::UniqueFd fd;
  /// What its worker has read of a request that no application has seen; mostly nothing.
  std::string read;
};

}  // namespace tricorn::arbiter
