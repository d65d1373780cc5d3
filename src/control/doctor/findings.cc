#include "control/doctor/findings.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/doctor/own_words.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

struct Kind {
  std::string_view id;  ///< up to the colon
  std::string_view title;
  std::string_view advice;
};

// In the order of the plain report: what is certain and worst first, what is not known last.
constexpr Kind kKinds[] = {
    {"oom_confirmed", "killed for memory by the kernel or the platform",
     "Memory ran out for certain: give the container more, run fewer workers, or find what grows "
     "(--max-requests bounds a leak)."},
    {"worker_crash", "workers crashed by a signal",
     "A native library crashed the worker: run with PYTHONFAULTHANDLER=1 for its stack, and look "
     "at recently updated binary packages."},
    {"own_kill_not_oom", "SIGKILLs that Gunicorn sent itself",
     "The words \"out of memory\" are misleading here: Gunicorn itself killed these workers, after "
     "a "
     "time-out or at the end of the graceful time-out. Look for what blocked them, not for "
     "memory."},
    {"boot_failure", "the application failed to load",
     "The application, its configuration or the worker class could not be loaded: start it by hand "
     "with the same command and environment and mend the traceback's last line."},
    {"site_start_failed", "the platform gave up starting the site",
     "The platform stopped waiting for the site to answer: check that the start-up command binds "
     "to "
     "the expected port, and why the boot fails or takes so long."},
    {"port_in_use", "the port was in use",
     "Another process listens on that address, often an older instance that was not stopped: stop "
     "it "
     "or bind elsewhere."},
    {"boot_timeout_or_slow_import", "timed out while booting",
     "Workers time out before they serve anything: importing or starting the application takes "
     "longer "
     "than the time-out. Move slow work out of the import, use --preload, or raise --timeout."},
    {"blocked_in", "requests blocked", ""},
    {"slow_upstream", "waited for an upstream",
     "The time went to another service: look at its health, and give each call to it a time-out "
     "shorter than Gunicorn's."},
    {"slow_client_or_idle_connection", "held by a silent client",
     "A client connected and sent nothing, which holds a sync worker: put a buffering proxy in "
     "front, "
     "or use gthread workers. The application is not at fault."},
    {"tricorn", "", ""},
    {"timeout_too_short_for_path", "requests longer than the time-out", ""},
    {"timeout_missing_default_30", "no time-out on the command line",
     "The start-up command sets no --timeout, so Gunicorn's default of 30 s holds: set it to what "
     "the "
     "slowest legitimate request needs."},
    {"frontend_limit_240", "App Service cuts requests at 230 to 240 s",
     "Whatever --timeout says, App Service's front end cuts a request without an answer at 230 to "
     "240 "
     "s: move longer work into a background job."},
    {"frontend_limit_30", "Heroku cuts requests at 30 s",
     "Heroku's router answers for the app after 30 s (H12), whatever --timeout says: move longer "
     "work "
     "into a background job and keep Gunicorn's time-out below 30 s."},
    {"cpu_bound", "computing when aborted",
     "The request was computing in the application's own code: make that line cheaper or move the "
     "work out of the request; a CPU limit makes it worse."},
    {"mass_timeout", "several workers timed out together",
     "Workers that time out in the same moment share a cause: a paused host, a CPU quota, a "
     "database "
     "or a lock. Compare with what else happened at that time."},
    {"possible_oom", "SIGKILLs nobody explains",
     "Something outside Gunicorn sent SIGKILL. It may have been the kernel for memory: compare "
     "with "
     "the kernel's log (dmesg) or the container's state before blaming memory."},
    {"silent_worker_death", "workers replaced without a word",
     "Workers vanished without a line in the log, as older versions do when a signal ends them. "
     "Memory "
     "is a candidate, no verdict: check the kernel's log and the container's memory at those "
     "times."},
    {"memory_pressure", "signs of short memory",
     "Memory was short, though no kill for it is in the log: watch the memory of the workers and "
     "lower "
     "their number or raise the limit."},
    {"cause_not_in_log", "time-outs whose cause is not in the log",
     "The log does not say what these workers did: switch on the access log (--access-logfile -), "
     "PYTHONFAULTHANDLER=1 and --log-level debug, or run Tricorn, which names the request and the "
     "line."},
    {"no_problem", "nothing found", "Nothing in this log needs an action."},
};

std::size_t rank_of(std::string_view id) {
  const std::string_view base = id.substr(0, id.find(':'));
  std::size_t rank = 0;
  while (rank < std::size(kKinds) && kKinds[rank].id != base) ++rank;
  return rank;
}

std::string_view value_of(std::string_view id) {
  const std::size_t colon = id.find(':');
  return colon == std::string_view::npos ? std::string_view{} : id.substr(colon + 1);
}

struct Wait {
  std::string_view name, title, advice;
};

constexpr Wait kWaits[] = {
    {"http_client", "in an HTTP client",
     "Give every outgoing HTTP call a connect and a read time-out shorter than Gunicorn's "
     "--timeout."},
    {"smtp", "sending mail", "Send mail from a background job, and give smtplib a timeout."},
    {"database", "in the database",
     "Look for slow queries and locks at that time, and set a statement time-out in the database."},
    {"redis", "in Redis", "Set socket_timeout and socket_connect_timeout on the Redis client."},
    {"websocket", "in a WebSocket",
     "A WebSocket holds a sync worker for its whole life: serve it with gevent or an ASGI worker."},
    {"subprocess", "waiting for a child process",
     "Give subprocess calls a timeout, or move the program into a background job."},
    {"dns", "resolving a name",
     "Name resolution hung: check the resolvers of the host and shorten the resolver's time-out."},
    {"file", "in a file", "A file's read or write hung: check the disk or the network share."},
    {"sleep", "in sleep()", "The code sleeps on purpose in a request: take the wait out of it."},
    {"lock", "waiting for a lock or another thread",
     "Find who holds the lock or never finishes, and give the wait a timeout."},
    {"socket", "on a socket", "Set a timeout on the socket the request waits for."},
};

const OwnTrouble* own_trouble_of(const Finding& finding) {
  return finding.id.starts_with(kOwnId) ? own_trouble(value_of(finding.id)) : nullptr;
}

std::string paths_text(const Finding& finding) {
  std::vector<std::pair<std::uint64_t, std::string>> paths;
  for (const auto& [path, count] : finding.paths) paths.emplace_back(count, path);
  std::sort(paths.begin(), paths.end(), [](const auto& left, const auto& right) {
    return left.first != right.first ? left.first > right.first : left.second < right.second;
  });
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t index = 0; index < paths.size() && index < kShown; ++index)
    text += fmt::format("{}{} ({} times)", text.empty() ? "" : ", ",
                        printable_part(paths[index].second, 80), paths[index].first);
  if (paths.size() > kShown) text += fmt::format(" and {} more", paths.size() - kShown);
  return text;
}

}  // namespace

void Finding::prove(const Mark& mark) {
  if (!mark) return;
  if (lines.size() < kProofLinesMax) lines.insert(mark.line);
  if (!first.known()) first = mark.when;
  if (mark.when.known()) last = mark.when;
}

Finding& Findings::add(std::string_view id, std::initializer_list<Mark> proof,
                       std::uint64_t count) {
  auto found = found_.find(id);
  if (found == found_.end()) {
    const bool full = found_.size() >= kFindingsMax;
    const std::string name = full ? "boot_failure:unknown" : std::string(id);
    found = found_.try_emplace(name).first;
    found->second.id = name;
  }
  found->second.count += count;
  for (const Mark& mark : proof) found->second.prove(mark);
  return found->second;
}

void Findings::remove(std::string_view id) {
  if (const auto found = found_.find(id); found != found_.end()) found_.erase(found);
}

std::vector<const Finding*> Findings::in_order() const {
  std::vector<const Finding*> order;
  for (const auto& [id, finding] : found_) order.push_back(&finding);
  std::stable_sort(order.begin(), order.end(), [](const Finding* left, const Finding* right) {
    return rank_of(left->id) < rank_of(right->id);
  });
  return order;
}

std::string advice_of(const Finding& finding, const Facts& facts) {
  const std::string_view value = value_of(finding.id);
  if (finding.id.starts_with("blocked_in:")) {
    for (const Wait& wait : kWaits)
      if (wait.name == value) return std::string(wait.advice);
  }
  if (const OwnTrouble* own = own_trouble_of(finding)) return std::string(own->advice);
  if (finding.id == "possible_oom" && finding.denied == finding.count)
    return "Not memory: the kernel's OOM counter did not rise for these workers. Look for who "
           "sends "
           "SIGKILL: an operator, a supervisor, a liveness probe.";
  if (finding.id == "timeout_too_short_for_path") {
    const std::string limit =
        facts.startup_timeout ? fmt::format("{} s", *facts.startup_timeout) : "the time-out";
    const bool requests_only = facts.request_timeouts > 0 && facts.timeouts == 0;
    return fmt::format(
        "{} took longer than {}: raise {} if that is legitimate, else make it "
        "faster or move it into a background job.",
        finding.paths.empty() ? "Requests" : paths_text(finding),
        requests_only ? "--request-timeout" : limit, requests_only ? "it" : "--timeout");
  }
  const std::size_t rank = rank_of(finding.id);
  return rank < std::size(kKinds) ? std::string(kKinds[rank].advice) : "";
}

std::string title_of(const Finding& finding) {
  const std::string_view value = value_of(finding.id);
  if (finding.id.starts_with("blocked_in:"))
    for (const Wait& wait : kWaits)
      if (wait.name == value) return fmt::format("requests blocked {}", wait.title);
  if (const OwnTrouble* own = own_trouble_of(finding)) return std::string(own->title);
  const std::size_t rank = rank_of(finding.id);
  if (rank == std::size(kKinds)) return finding.id;
  const std::string_view title = kKinds[rank].title;
  return value.empty() ? std::string(title) : fmt::format("{}: {}", title, value);
}

}  // namespace tricorn::control::doctor
