// Words for the log and JSON for the report. Prefixes that operators grep stay Gunicorn's, byte for
// byte; what is ours comes after them.
#pragma once

#include <ctime>

#include <string>
#include <string_view>
#include <vector>

#include "diagnose/evidence.h"
#include "diagnose/time_by_stack.h"
#include "diagnose/verdict.h"

namespace tricorn::diagnose {

/// Version of report_json's form; documented in docs/report.md.
inline constexpr int kReportVersion = 1;

/// What follows "WORKER TIMEOUT (pid:N) ": class, request, reason, place, what it was not,
/// reference.
/// @param ref  "7f3a9c"
[[nodiscard]] std::string log_tail(const Verdict& verdict, const Evidence& evidence,
                                   std::string_view ref);

/// The whole line "WORKER TIMEOUT (pid:N) ...".
[[nodiscard]] std::string timeout_line(const Verdict& verdict, const Evidence& evidence,
                                       std::string_view ref);

/// The whole line "Slow request (pid:N) ..." about a request that still runs.
/// @param busy  where the worker's threads are when all are busy; may be empty
[[nodiscard]] std::string slow_line(const Verdict& verdict, const Evidence& evidence,
                                    std::string_view busy, std::string_view ref);

/// The same request at its end: "Slow request (pid:N) ended: ..." with where the time went.
[[nodiscard]] std::string slow_end_line(const Evidence& evidence, const TimeByStack& time,
                                        std::string_view ref);

/// Name of the cause of a request that is slow and not late: one that gets on is "advancing".
[[nodiscard]] std::string_view slow_name_of(Cause cause);

/// The whole line "Worker (pid:N) cut at ..." of a request that is ended with its worker.
/// @param verdict  null: what it hung in was not looked for
/// @param when  "shutdown"
[[nodiscard]] std::string cut_line(const Verdict* verdict, const Evidence& evidence,
                                   std::string_view when, std::string_view ref);

/// The whole line about a dead worker: "Worker (pid:N) was sent SIGKILL! ..." or
/// "Worker (pid:N) exited with code N. ...". Needs evidence.death.
[[nodiscard]] std::string death_line(const Verdict& verdict, const Evidence& evidence,
                                     std::string_view ref);

/// What a death says of one of several requests. @param evidence  of that one: its request, samples
[[nodiscard]] InFlight in_flight_of(const Evidence& evidence);

/// "Error handling request GET /x", as Gunicorn's worker words it.
[[nodiscard]] std::string request_line(const Evidence& evidence);

/// Python's own form, outermost first, with the source lines where the files can be read; ends with
/// a newline. Empty when there is no stack.
/// @param stack  innermost first
[[nodiscard]] std::string traceback_text(const std::vector<PythonFrame>& stack);

/// The serving thread's stack in the latest look that has one, samples included. May be empty.
[[nodiscard]] const std::vector<PythonFrame>& last_stack(const Evidence& evidence);

/// One line of JSON with a newline: docs/report.md.
/// @param wall  seconds since the epoch, when the incident was found
[[nodiscard]] std::string report_json(const Verdict& verdict, const Evidence& evidence,
                                      std::string_view ref, std::time_t wall);

/// What a list of incidents shows of one, as a JSON object without a newline: time, class,
/// confidence, reference, pid, request, seconds, place, because.
[[nodiscard]] std::string summary_json(const Verdict& verdict, const Evidence& evidence,
                                       std::string_view ref, std::time_t wall);

/// What a report and a list say of a slow request besides its verdict.
struct SlowFacts {
  std::string_view ended;  ///< "answered", "timed out", "worker died"; empty: it still runs
  std::string_view busy;   ///< see slow_line()
  const TimeByStack* time = nullptr;
};

/// One line of JSON with a newline, "event":"slow_request": docs/report.md.
[[nodiscard]] std::string slow_json(const Verdict& verdict, const Evidence& evidence,
                                    const SlowFacts& slow, std::string_view ref, std::time_t wall);
/// Its summary_json().
[[nodiscard]] std::string slow_summary_json(const Verdict& verdict, const Evidence& evidence,
                                            std::string_view ref, std::time_t wall);

/// Threads as the report has them, a JSON array: tid, name, state, stack and so on.
[[nodiscard]] std::string threads_json(const std::vector<ThreadLook>& threads);

/// Path or name from outside made fit for a log line: control characters, quotes' backslashes and
/// bytes that are not UTF-8 become \xNN.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace tricorn::diagnose
