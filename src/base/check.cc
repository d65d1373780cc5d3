#include "base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tricorn::base {

void check_failed(const char* file, int line, const char* what) {
  char text[512];
  const int length =
      std::snprintf(text, sizeof text, "tricorn: %s:%d: check failed: %s\n", file, line, what);
  if (length > 0) {
    const auto size = static_cast<std::size_t>(length) < sizeof text
                          ? static_cast<std::size_t>(length)
                          : sizeof text - 1;
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, size);
  }
  std::abort();
}

}  // namespace tricorn::base
