#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "diagnose/phases.h"
#include "diagnose/report.h"

namespace tricorn::diagnose {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(std::int64_t number) { return number < 0 ? Json(nullptr) : Json(number); }
Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json or_null(const std::optional<std::uint64_t>& number) {
  return number ? Json(*number) : Json(nullptr);
}

Json stack_json(const std::vector<PythonFrame>& stack) {
  Json frames = Json::array();
  for (const PythonFrame& frame : stack) {
    frames.push_back({{"file", frame.file}, {"line", frame.line}, {"function", frame.function}});
  }
  return frames;
}

Json thread_json(const ThreadLook& thread) {
  return {{"tid", thread.tid},
          {"name", thread.name},
          {"state", std::string(1, thread.state)},
          {"wchan", or_null(thread.wchan)},
          {"syscall", or_null(thread.syscall)},
          {"cpu_ns", or_null(thread.cpu_ns)},
          {"run_delay_ns", or_null(thread.run_delay_ns)},
          {"gil", thread.has_gil         ? "holds"
                  : thread.waits_for_gil ? "waits"
                                         : "none"},
          {"stack", stack_json(thread.stack)}};
}

Json cgroup_json(const CgroupCounters& cgroup) {
  return {{"oom_kill", or_null(cgroup.oom_kill)},
          {"memory_hits", or_null(cgroup.memory_hits)},
          {"refaults", or_null(cgroup.refaults)},
          {"memory_stall_us", or_null(cgroup.memory_stall_us)},
          {"memory_limit", cgroup.memory_limit == 0 ? Json(nullptr) : Json(cgroup.memory_limit)},
          {"throttled", or_null(cgroup.throttled)},
          {"periods", or_null(cgroup.periods)},
          {"pids_denied", or_null(cgroup.pids_denied)},
          {"frozen", cgroup.frozen}};
}

/// A look without the other threads: those of the last look are in "threads".
Json look_json(const ProcessLook& look, std::int64_t end_ns) {
  Json json = {{"age_s", static_cast<double>(look.at_ns - end_ns) / 1e9},
               {"took_us", look.took_ns / 1000},
               {"rss_bytes", look.rss_bytes},
               {"fds", or_null(look.fds)},
               {"virtual_bytes", look.virtual_bytes},
               {"gil_holder", look.gil_holder},
               {"gc", look.gc_collecting},
               {"python", look.python_readable ? "read" : "not readable"},
               {"bytes_out", look.bytes_out},
               {"cgroup", cgroup_json(look.cgroup)}};
  if (!look.threads.empty()) {
    const ThreadLook& thread = look.threads.front();
    json["state"] = std::string(1, thread.state);
    json["wchan"] = or_null(thread.wchan);
    json["syscall"] = or_null(thread.syscall);
    json["cpu_ns"] = or_null(thread.cpu_ns);
    json["run_delay_ns"] = or_null(thread.run_delay_ns);
    json["major_faults"] = thread.major_faults;
    json["line"] = thread.stack.empty()
                       ? Json(nullptr)
                       : Json(fmt::format("{}:{}", thread.stack[0].file, thread.stack[0].line));
  }
  return json;
}

Json looks_json(const std::vector<ProcessLook>& looks, std::int64_t end_ns) {
  Json json = Json::array();
  for (const ProcessLook& look : looks) json.push_back(look_json(look, end_ns));
  return json;
}

Json native_json(const Evidence& evidence) {
  if (!evidence.native_asked) return nullptr;
  if (!evidence.native) return "not readable";
  return {{"module", or_null(evidence.native->module)},
          {"in_module", evidence.native->in_module},
          {"samples", evidence.native->samples}};
}

Json evidence_json(const Evidence& evidence) {
  const auto& last = evidence.looks.empty() ? evidence.samples : evidence.looks;
  const std::int64_t end_ns = last.empty() ? 0 : last.back().at_ns;
  Json json = {{"looks", looks_json(evidence.looks, end_ns)},
               {"samples", looks_json(evidence.samples, end_ns)},
               {"native", native_json(evidence)},
               {"busy_threads", evidence.busy_threads},
               {"queued", evidence.queued},
               {"load", evidence.load < 0 ? Json(nullptr) : Json(evidence.load)}};
  if (evidence.death) {
    json["wait_status"] = evidence.death->wait_status;
    json["oom_kill"] = {or_null(evidence.death->before.oom_kill),
                        or_null(evidence.death->after.oom_kill)};
  }
  return json;
}

Json list_of(const std::vector<ThreadLook>& threads) {
  Json list = Json::array();
  for (const ThreadLook& thread : threads) list.push_back(thread_json(thread));
  return list;
}

double seconds_of(std::int64_t ns) { return static_cast<double>(ns / 1'000'000) / 1000; }

Json phases_json(const Evidence& evidence) {
  Json phases = Json::array();
  for (const RequestPhase& phase : phases_of(evidence)) {
    const char* unknown = phase.computes ? "computing" : "waiting";
    phases.push_back({{"what", phase.cause == Cause::Unknown ? std::string(unknown)
                                                             : std::string(name_of(phase.cause))},
                      {"place", or_null(phase.place)},
                      {"function", or_null(phase.function)},
                      {"seconds", seconds_of(phase.ns)}});
  }
  return phases;
}

Json in_flight_json(const Evidence& evidence) {
  Json requests = Json::array();
  for (const InFlight& one : evidence.in_flight) {
    requests.push_back({{"request", printable(one.request)},
                        {"seconds", seconds_of(one.running_ns)},
                        {"place", or_null(one.place)}});
  }
  return requests;
}

std::vector<ThreadLook> last_threads(const Evidence& evidence) {
  return evidence.looks.empty() ? std::vector<ThreadLook>() : evidence.looks.back().threads;
}

/// Names from outside may be no UTF-8; they must not cost the report.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// RFC 3339 in UTC, as the report must mean the same in every time zone.
std::string time_text(std::time_t wall) {
  std::tm utc{};
  ::gmtime_r(&wall, &utc);
  char text[32];
  const std::size_t bytes = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return std::string(text, bytes);
}

constexpr const char* kSlowEvent = "slow_request";

/// Which incident it is: what every form of one has, in the order of the files.
Json head_of(const Verdict& verdict, const Evidence& evidence, std::string_view ref,
             std::time_t wall) {
  return {{"time", time_text(wall)},
          {"class", std::string(name_of(verdict.cause))},
          {"confidence", std::string(name_of(verdict.confidence))},
          {"ref", std::string(ref)},
          {"pid", evidence.pid},
          {"request", or_null(printable(evidence.request))},
          {"seconds", seconds_of(evidence.running_ns)}};
}

Json summary_of(const Verdict& verdict, const Evidence& evidence, std::string_view ref,
                std::time_t wall) {
  Json summary = head_of(verdict, evidence, ref, wall);
  summary["place"] = or_null(verdict.place);
  summary["because"] = verdict.because;
  return summary;
}

/// What an incident and a slow request say alike, below the summary.
void add_details(const Verdict& verdict, const Evidence& evidence, Json& report) {
  report["function"] = or_null(verdict.function);
  report["innermost"] = or_null(verdict.innermost);
  report["peer"] = or_null(verdict.peer);
  report["client"] = or_null(evidence.client);
  report["not"] = verdict.not_causes;
}

}  // namespace

std::string threads_json(const std::vector<ThreadLook>& threads) {
  return text_of(list_of(threads));
}

std::string summary_json(const Verdict& verdict, const Evidence& evidence, std::string_view ref,
                         std::time_t wall) {
  return text_of(summary_of(verdict, evidence, ref, wall));
}

std::string slow_summary_json(const Verdict& verdict, const Evidence& evidence,
                              std::string_view ref, std::time_t wall) {
  Json summary = summary_of(verdict, evidence, ref, wall);
  summary["event"] = kSlowEvent;
  summary["class"] = slow_name_of(verdict.cause);
  return text_of(summary);
}

std::string slow_json(const Verdict& verdict, const Evidence& evidence, const SlowFacts& slow,
                      std::string_view ref, std::time_t wall) {
  constexpr std::size_t kPlacesReported = 20;
  Json report = summary_of(verdict, evidence, ref, wall);
  Json where = Json::array();
  for (const PlaceShare& share : slow.time->places(kPlacesReported)) {
    where.push_back({{"place", share.place},
                     {"function", or_null(share.function)},
                     {"ms", share.ms},
                     {"percent", share.percent}});
  }
  report["version"] = kReportVersion;
  report["event"] = kSlowEvent;
  report["class"] = slow_name_of(verdict.cause);
  add_details(verdict, evidence, report);
  report["ended"] = or_null(std::string(slow.ended));
  report["busy"] = or_null(std::string(slow.busy));
  report["where"] = where;
  report["stacks"] = slow.time->stacks();
  report["stack"] = stack_json(last_stack(evidence));
  return text_of(report) + "\n";
}

std::string report_json(const Verdict& verdict, const Evidence& evidence, std::string_view ref,
                        std::time_t wall) {
  Json report = {{"version", kReportVersion}};
  report.update(head_of(verdict, evidence, ref, wall));
  report["because"] = verdict.because;
  report["place"] = or_null(verdict.place);
  add_details(verdict, evidence, report);
  report["hint"] = or_null(verdict.hint);
  if (!evidence.in_flight.empty()) report["in_flight"] = in_flight_json(evidence);
  report["phases"] = phases_json(evidence);
  report["stack"] = stack_json(last_stack(evidence));
  report["threads"] = list_of(last_threads(evidence));
  report["evidence"] = evidence_json(evidence);
  return text_of(report) + "\n";
}

}  // namespace tricorn::diagnose
