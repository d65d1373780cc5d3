#include "arbiter/incidents.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/append.h"
#include "diagnose/report.h"

namespace tricorn::arbiter {
namespace {

// Gunicorn's levels: an exit or SIGKILL is an error, SIGTERM is normal, other signals are warnings.
base::Level level_of(int wait_status) {
  if (wait_status == 0) return base::Level::Warning;  // in order, but not by our order
  if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) == SIGKILL) return base::Level::Error;
  return WTERMSIG(wait_status) == SIGTERM ? base::Level::Info : base::Level::Warning;
}

// For --log-format json.
std::vector<base::Field> fields_of(const diagnose::Verdict& verdict,
                                   const diagnose::Evidence& evidence, std::string_view ref) {
  std::vector<base::Field> fields = {
      {"incident.class", std::string(diagnose::name_of(verdict.cause))},
      {"incident.ref", std::string(ref)},
      {"incident.because", verdict.because},
      {"incident.worker.pid", std::to_string(evidence.pid), true},
  };
  if (!verdict.place.empty()) fields.push_back({"incident.place", verdict.place});
  if (evidence.request.empty()) return fields;
  const std::size_t space = std::min(evidence.request.find(' '), evidence.request.size());
  fields.push_back({"http.request.method", evidence.request.substr(0, space)});
  fields.push_back(
      {"url.path", evidence.request.substr(std::min(space + 1, evidence.request.size()))});
  fields.push_back({"event.duration", std::to_string(evidence.running_ns), true});
  return fields;
}

}  // namespace

base::Result<void> Incidents::open(const std::string& path) {
  if (path.empty()) {
    file_.reset();
    return {};
  }
  base::UniqueFd file = base::open_to_append(path, kReportMode);
  if (!file.valid()) return base::fail_errno(fmt::format("report '{}'", path), errno);
  file_ = std::move(file);
  return {};
}

void Incidents::report(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                       std::string_view ref) {
  const std::time_t wall = std::time(nullptr);
  std::string line = diagnose::report_json(verdict, evidence, ref, wall);
  write(line, ref);
  line.pop_back();
  ring_.add(
      name_of(verdict.cause),
      {std::string(ref), diagnose::summary_json(verdict, evidence, ref, wall), std::move(line)});
}

void Incidents::slow(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                     const diagnose::SlowFacts& slow, std::string_view ref) {
  const std::time_t wall = std::time(nullptr);
  std::string line = diagnose::slow_json(verdict, evidence, slow, ref, wall);
  if (!slow.ended.empty()) write(line, ref);
  line.pop_back();
  ring_.add(name_of(verdict.cause),
            {std::string(ref), diagnose::slow_summary_json(verdict, evidence, ref, wall),
             std::move(line), true});
}

void Incidents::write(const std::string& line, std::string_view ref) {
  if (!file_.valid()) return;
  if (::write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    log_.error(fmt::format("The report of ref {} could not be written", ref));
  }
}

void Incidents::timed_out(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                          std::string_view ref, bool spared) {
  log_.write({spared ? base::Level::Error : base::Level::Critical,
              spared ? fmt::format("Request timeout (pid:{}) {}", evidence.pid,
                                   diagnose::log_tail(verdict, evidence, ref))
                     : diagnose::timeout_line(verdict, evidence, ref),
              0,
              {},
              fields_of(verdict, evidence, ref)});
  log_.write({base::Level::Error, diagnose::request_line(evidence), evidence.pid,
              diagnose::traceback_text(diagnose::last_stack(evidence))});
  report(verdict, evidence, ref);
}

void Incidents::told(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                     std::string_view ref) {
  const bool client = diagnose::name_of(verdict.cause).starts_with("client.");
  log_.write(
      client ? base::Level::Info : base::Level::Warning,
      fmt::format("Worker (pid:{}) {}", evidence.pid, diagnose::log_tail(verdict, evidence, ref)));
  report(verdict, evidence, ref);
}

void Incidents::overloaded(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                           std::string_view ref) {
  log_.warning(diagnose::log_tail(verdict, evidence, ref));
  report(verdict, evidence, ref);
}

void Incidents::cut(const std::optional<diagnose::Verdict>& verdict,
                    const diagnose::Evidence& evidence, std::string_view when,
                    std::string_view ref) {
  const std::string line = diagnose::cut_line(verdict ? &*verdict : nullptr, evidence, when, ref);
  if (!verdict) return log_.error(line);
  log_.write({base::Level::Error, line, 0, {}, fields_of(*verdict, evidence, ref)});
  report(*verdict, evidence, ref);
}

void Incidents::slow_preload(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                             std::string_view ref, bool ended) {
  const std::string tail = diagnose::log_tail(verdict, evidence, ref);
  if (ended) {
    log_.critical(
        fmt::format("Spawner (pid:{}) loaded the application for longer than "
                    "--boot-timeout and is ended: {}",
                    evidence.pid, tail));
  } else {
    log_.warning(
        fmt::format("Spawner (pid:{}) loads the application slowly, no worker starts before: {}",
                    evidence.pid, tail));
  }
  report(verdict, evidence, ref);
}

void Incidents::slow_boot(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                          std::string_view ref, bool ended) {
  if (ended) {
    log_.critical(diagnose::timeout_line(verdict, evidence, ref));
  } else {
    log_.warning(fmt::format("Worker (pid:{}) boots slowly: {}", evidence.pid,
                             diagnose::log_tail(verdict, evidence, ref)));
  }
  report(verdict, evidence, ref);
}

void Incidents::outgrown(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                         std::string_view ref) {
  log_.warning(fmt::format("Worker (pid:{}) is replaced when its requests are done: {}",
                           evidence.pid, diagnose::log_tail(verdict, evidence, ref)));
  report(verdict, evidence, ref);
}

void Incidents::died(const diagnose::Verdict& verdict, const diagnose::Evidence& evidence,
                     std::string_view ref) {
  log_.write({level_of(evidence.death->wait_status),
              diagnose::death_line(verdict, evidence, ref),
              0,
              {},
              fields_of(verdict, evidence, ref)});
  report(verdict, evidence, ref);
}

}  // namespace tricorn::arbiter
