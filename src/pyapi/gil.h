// The GIL as a value: who holds it can show it, who cannot show it cannot touch Python.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace tricorn::pyapi {

/// Proof that the calling thread holds the GIL. Functions that touch Python ask for one.
/// Made where Python calls us (a module function, a slot of a type) and handed down.
class Gil {
 public:
  /// Only for functions that CPython itself has called with the GIL held.
  [[nodiscard]] static Gil held_by_caller() { return Gil(); }

 private:
  Gil() = default;
};

/// Releases the GIL for its lifetime: for blocking system calls.
class GilReleased {
 public:
  explicit GilReleased(const Gil& /*held*/) : state_(PyEval_SaveThread()) {}
  ~GilReleased() { PyEval_RestoreThread(state_); }
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace tricorn::pyapi
