// A broken promise ends the fuzzer where it is, so that libFuzzer keeps the input.
#include <cstdio>

#include "base/check.h"

namespace tricorn::base {

[[noreturn]] void check_failed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  __builtin_trap();
}

}  // namespace tricorn::base
