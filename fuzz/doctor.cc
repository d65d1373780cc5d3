// Any bytes as a log: the doctor reads them all, counts what it does not know, and keeps its sums.
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/check.h"
#include "control/doctor/doctor.h"

namespace {

using namespace tricorn::control::doctor;

void check_promises(const Report& report) {
  const Facts& facts = report.facts;
  TRICORN_CHECK(facts.sigkills ==
                facts.own_after_timeout + facts.own_at_shutdown + facts.oom + facts.unexplained);
  TRICORN_CHECK(facts.timeouts <= facts.distinct_workers);
  TRICORN_CHECK(facts.worker_exits <= facts.distinct_workers);
  TRICORN_CHECK(report.known <= report.lines);
  TRICORN_CHECK(report.known > 0 ? !report.findings.empty() : report.findings.empty());
  std::set<std::string> ids;
  for (const Finding& finding : report.findings) {
    TRICORN_CHECK(ids.insert(finding.id).second);
    TRICORN_CHECK(finding.count > 0);
    TRICORN_CHECK(!finding.lines.empty() && finding.lines.size() <= kProofLinesMax);
    TRICORN_CHECK(*finding.lines.rbegin() <= report.lines);
    TRICORN_CHECK(!advice_of(finding, facts).empty());
  }
  TRICORN_CHECK(!to_json(report, "", -1).empty());
  TRICORN_CHECK(!to_text(report, "", 80, false).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(bytes), size);
  Reading reading;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    reading.read(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  check_promises(reading.finish());
  return 0;
}
