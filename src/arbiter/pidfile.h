// --pid: the file that tells scripts the arbiter's pid.
#pragma once

#include <string>

#include "base/result.h"

namespace tricorn::arbiter {

/// Holds the file while it lives; removes it if it still holds our pid.
class Pidfile {
 public:
  Pidfile() = default;
  ~Pidfile();
  Pidfile(const Pidfile&) = delete;
  Pidfile& operator=(const Pidfile&) = delete;

  /// Writes our pid, by rename so that nobody reads half of it; mode 0644.
  /// @return Error in Gunicorn's words when a living process's pid is in it, or it cannot be
  /// written
  base::Result<void> create(const std::string& path);
  /// The same under another name, once an upgrade has made it ours; the old file goes.
  /// @param path  empty: there is none
  base::Result<void> move_to(const std::string& path);
  void remove();

 private:
  std::string path_;
};

}  // namespace tricorn::arbiter
