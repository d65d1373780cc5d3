// Signals kept away from the threads that are started meanwhile.
#pragma once

#include <csignal>
#include <initializer_list>

namespace tricorn::base {

/// Blocks all signals of the calling thread while it lives, and so those of the threads it starts:
/// signals are for the threads that have been there before. Source: pthread_sigmask(3)
class SignalsBlocked {
 public:
  /// @param but  these stay as they can only be the thread's own, such as SIGSEGV
  explicit SignalsBlocked(std::initializer_list<int> but = {}) {
    sigset_t blocked;
    ::sigfillset(&blocked);
    for (const int signal : but) ::sigdelset(&blocked, signal);
    ::pthread_sigmask(SIG_SETMASK, &blocked, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace tricorn::base
