// Owner of one reference to a Python object.
#pragma once

#include <utility>

#include "pyapi/gil.h"

namespace tricorn::pyapi {

/// Owns one reference, or none. Every member that changes the count needs the GIL.
class Ref {
 public:
  Ref() = default;
  ~Ref() { Py_XDECREF(object_); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    if (this != &other) Py_XSETREF(object_, std::exchange(other.object_, nullptr));
    return *this;
  }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;

  /// Takes over a reference the caller owns, as most API calls return it. Null means an exception
  /// is set.
  [[nodiscard]] static Ref steal(PyObject* object) { return Ref(object); }
  /// Adds a reference of its own.
  [[nodiscard]] static Ref borrow(PyObject* object) {
    Py_XINCREF(object);
    return Ref(object);
  }

  [[nodiscard]] PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  /// Gives the reference away; the caller owns it.
  [[nodiscard]] PyObject* release() { return std::exchange(object_, nullptr); }
  void reset() { Py_CLEAR(object_); }

 private:
  explicit Ref(PyObject* object) : object_(object) {}
  PyObject* object_ = nullptr;
};

}  // namespace tricorn::pyapi
