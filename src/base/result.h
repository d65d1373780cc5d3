// The outcome of a function that can fail, with the interface of std::expected.
// g++ 12 has that header only for C++23 and clang 14 rejects it, so this is ours
// (docs/decisions/0005).
#pragma once

#include <cstdlib>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace tricorn::base {

/// What went wrong, in words for the person who reads the log.
struct Error {
  std::string text;  ///< one sentence without a trailing period; names the setting, file or byte
  int code = 0;      ///< errno of the failed call, 0 when no system call failed
};

/// Tells Result's constructor that it is given the failure, as std::unexpected does.
struct Unexpected {
  Error error;
};

/// Builds the failed outcome from words.
/// @param text  one sentence without a trailing period
/// @param code  errno, or 0
[[nodiscard]] inline Unexpected fail(std::string text, int code = 0) {
  return Unexpected{Error{std::move(text), code}};
}

/// Builds the failed outcome of a system call: "<what>: <strerror(code)>".
/// @param what  the call and its object, e.g. "open /run/x.pid"
/// @param code  errno as the call left it
[[nodiscard]] Unexpected fail_errno(std::string what, int code);

/// A T, or the Error that says why there is none. Reading the wrong side aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT: implicit like std::expected
  Result(Unexpected failure) : state_(std::move(failure.error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return *checked(std::get_if<0>(&state_)); }
  const T& value() const& { return *checked(std::get_if<0>(&state_)); }
  T&& value() && { return std::move(*checked(std::get_if<0>(&state_))); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const { return *checked(std::get_if<1>(&state_)); }

 private:
  template <class P>
  static P* checked(P* side) {
    if (side == nullptr) std::abort();
    return side;
  }
  std::variant<T, Error> state_;
};

/// The outcome of a function that has nothing to give but success.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Unexpected failure) : failed_(true), error_(std::move(failure.error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return !failed_; }
  explicit operator bool() const { return !failed_; }
  const Error& error() const {
    if (!failed_) std::abort();
    return error_;
  }

 private:
  bool failed_ = false;
  Error error_;
};

}  // namespace tricorn::base
