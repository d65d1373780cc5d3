#include "base/result.h"

#include <cstring>

namespace tricorn::base {

Unexpected fail_errno(std::string what, int code) {
  what += ": ";
  what += std::strerror(code);
  return fail(std::move(what), code);
}

}  // namespace tricorn::base
