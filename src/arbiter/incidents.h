// Where an incident goes: the error log, and the report file.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "arbiter/incident_ring.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "diagnose/evidence.h"
#include "diagnose/report.h"
#include "diagnose/verdict.h"

namespace tricorn::arbiter {

/// Of the report file: it names paths and peers of requests.
inline constexpr mode_t kReportMode = 0640;

class Incidents {
 public:
  explicit Incidents(const base::Log& log) : log_(log) {}
  /// The last ones, whether there is a file or not.
  [[nodiscard]] const IncidentRing& ring() const { return ring_; }

  /// Also opens it again (USR1); the old one is kept when that fails.
  /// @param path  --report; empty: no file
  base::Result<void> open(const std::string& path);

  /// A request ran into its time-out: the CRITICAL line, then the worker's `Error handling request`
  /// with the stack. @param spared  by --request-timeout: the worker may live, so an ERROR line
  void timed_out(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                 std::string_view ref, bool spared);
  /// A worker ended a request by itself: a slow client was cut, an exception says why. The worker
  /// lives.
  void told(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
            std::string_view ref);
  /// More requests come than are served.
  void overloaded(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                  std::string_view ref);
  /// A request that ends with its worker. @param when  "shutdown"; @param verdict  empty: not known
  void cut(const std::optional<diagnose::Verdict>& verdict, const diagnose::Evidence& evidence,
           std::string_view when, std::string_view ref);
  /// A boot takes longer than --timeout, or is ended by --boot-timeout (`ended`).
  void slow_preload(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                    std::string_view ref, bool ended);
  void slow_boot(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                 std::string_view ref, bool ended);
  /// A worker has more memory than it may and leaves when its requests are done.
  void outgrown(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                std::string_view ref);
  /// A worker died without a plan.
  void died(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
            std::string_view ref);

  /// A slow request, kept for tricornctl; at its end it goes to the report file too. The lines of
  /// the log are the caller's.
  void slow(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
            const diagnose::SlowFacts& slow, std::string_view ref);

 private:
  void report(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
              std::string_view ref);
  void write(const std::string& line, std::string_view ref);

  const base::Log& log_;
  IncidentRing ring_;
  base::UniqueFd file_;
};

}  // namespace tricorn::arbiter
