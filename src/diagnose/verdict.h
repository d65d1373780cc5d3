// Says why a worker went silent or died, from evidence alone. No syscall, no clock, no Python in
// here: look.h gathers the Evidence and report.h prints the Verdict, so a table can test every
// rule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"

namespace tricorn::diagnose {

/// Why. decide() asks the death first, then resources, then the wait, then the CPU.
/// Names, meanings and the client's status are in causes.def.
enum class Cause {
#define CAUSE(id, name, status, means, todo, line) id,
#include "diagnose/causes.def"
#undef CAUSE
};

/// How sure. Certain: a counter or a status says so. Likely: two looks agree.
enum class Confidence { Certain, Likely };

/// What the operator reads after the prefix of the log line.
struct Verdict {
  Cause cause = Cause::Unknown;
  Confidence confidence = Confidence::Likely;
  std::string because;   ///< one clause with its evidence, no trailing period, e.g. "waited 2.9
                         ///< of 3.0 s for ..."
  std::string place;     ///< "app.py:203" of the line to look at; empty: not known
  std::string function;  ///< there, e.g. "pg_sleep"
  std::string
      innermost;  ///< "cursor.py:91 execute" when the innermost frame is another one; else empty
  std::string otherwise;  ///< what else took a notable part of the request: "before that 2.3 s in
                          ///< Python code at app.py:12 in view"; empty: nothing
  std::string peer;       ///< "127.0.0.1:5432 (PostgreSQL)"; empty: none
  std::string hint;  ///< the next command to run, e.g. "pg_stat_activity where client_port = 40000"
  std::vector<std::string> not_causes;  ///< what was ruled out, "memory.oom_kill: oom_kill 0 -> 0"
};

/// Decides from evidence alone; the same evidence always gives the same verdict. Never fails: what
/// no rule explains is Unknown.
[[nodiscard]] Verdict decide(const Evidence& evidence);

/// Stable name for logs, metrics and the report, e.g. "wait.lock". Never renamed once released.
[[nodiscard]] std::string_view name_of(Cause cause);

/// "certain" or "likely".
[[nodiscard]] std::string_view name_of(Confidence confidence);

/// The cause of that name; Unknown when there is none.
[[nodiscard]] Cause cause_of(std::string_view name);

/// Status for the client by the kind of cause: 504 waits, 503 limits and overload, 408 slow
/// uploads, 500 the rest. Source: design.md section 3, RFC 9110 section 15.
[[nodiscard]] int status_of(Cause cause);

/// docs/diagnosis.md, from the same table. Ends with a newline.
[[nodiscard]] std::string causes_markdown();

}  // namespace tricorn::diagnose
