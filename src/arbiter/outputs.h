// Where the arbiter's lines, reports and metrics go. A reload prepares the new ones and uses them
// when it has succeeded; until then everything goes where it went.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arbiter/options.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "net/statsd.h"
#include "net/syslog.h"

namespace tricorn::arbiter {

/// What is open of them besides files, which are opened when they are used.
struct Outputs {
  std::unique_ptr<net::Syslog> syslog;  ///< null: none
  net::Statsd statsd;
  base::UniqueFd python_log;  ///< to the process that calls Python's logging; not valid: none
  pid_t logger = 0;           ///< that process; 0: not known yet
  std::string warning;        ///< what is missing, and no reason to refuse; empty: nothing
};

/// Finds mistakes in the names of files, which are created, and opens the rest. Looks names of
/// hosts up, which may take a while.
/// @return Error when a file cannot be written, or syslog's address is wrong
base::Result<Outputs> prepare_outputs(const Options& options);

/// The hosts that prepare_outputs() would look up.
[[nodiscard]] std::vector<std::string> hosts_of(const Options& options);

/// Puts numbers in the place of hosts_of(), so that prepare_outputs() does not wait.
/// @param answer_json  {"numbers": {HOST: NUMBER}, "reasons": {HOST: why there is none}}
/// @return Error when syslog has none
base::Result<void> use_numbers(Options& options, const std::string& answer_json);

}  // namespace tricorn::arbiter
