#include "arbiter/control_answers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <vector>

#include "arbiter/arbiter.h"
#include "base/clock.h"
#include "diagnose/frames.h"
#include "diagnose/report.h"
#include "diagnose/usage.h"

namespace tricorn::arbiter {
namespace {

using Json = nlohmann::ordered_json;

double seconds_of(std::int64_t ns) { return static_cast<double>(ns / 1'000'000) / 1000; }

Json or_null(std::int64_t number) { return number < 0 ? Json(nullptr) : Json(number); }
Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string done(const Json& data) {
  return text_of({{"v", kControlVersion}, {"ok", true}, {"data", data}});
}

const char* name_of(heartbeat::Life life) {
  switch (life) {
    case heartbeat::Life::Forked:
    case heartbeat::Life::Booting:
      return "booting";
    case heartbeat::Life::Ready:
      return "ready";
    case heartbeat::Life::Draining:
      return "draining";
    case heartbeat::Life::Exiting:
      return "exiting";
  }
  return "unknown";
}

const char* name_of(heartbeat::Phase phase) {
  switch (phase) {
    case heartbeat::Phase::Idle:
      return "idle";
    case heartbeat::Phase::Application:
      return "application";
    case heartbeat::Phase::ReadingBody:
      return "reading body";
    case heartbeat::Phase::Writing:
      return "writing";
  }
  return "unknown";
}

const char* state_of(const WorkerProcess& worker) {
  if (worker.has_lost_threads) return "timed out";
  if (!worker.kill.reason.empty() || worker.kill_at_ns != 0) return "being killed";
  if (worker.leaving && worker.ready()) return "draining";
  return name_of(worker.life());
}

unsigned busy_threads(const heartbeat::Page& page) {
  unsigned busy = 0;
  for (std::uint32_t i = 0; i < page.slot_count(); ++i)
    busy += page.slot(i).started_ns.load(std::memory_order_relaxed) != 0 ? 1 : 0;
  return busy;
}

/// One running request, before it is looked at.
struct Running {
  std::int64_t started_ns;
  const WorkerProcess* worker;
  std::uint32_t index;
};

Json request_json(const Running& running, std::int64_t now_ns, bool look,
                  const std::string& app_directory) {
  const WorkerProcess& worker = *running.worker;
  const heartbeat::Slot& slot = worker.page.slot(running.index);
  diagnose::Evidence evidence;
  diagnose::describe_request(worker.page, slot, now_ns, evidence);
  Json json = {{"pid", worker.pid},
               {"thread", running.index + 1},
               {"tid", slot.tid.load()},
               {"request", or_null(diagnose::printable(evidence.request))},
               {"seconds", seconds_of(now_ns - running.started_ns)},
               {"phase", name_of(evidence.phase)},
               {"timed_out", slot.is_abandoned()},
               {"client", or_null(evidence.client)},
               {"bytes_in", evidence.bytes_in},
               {"bytes_out", evidence.bytes_out},
               {"place", nullptr},
               {"function", nullptr},
               {"state", nullptr},
               {"gil", nullptr}};
  if (!look) return json;
  const diagnose::ProcessLook seen = worker.inspector->light_look(diagnose::target_of(slot));
  const diagnose::ThreadLook& thread = seen.threads.front();
  json["state"] = std::string(1, thread.state);
  if (!seen.python_readable) return json;
  json["gil"] = thread.has_gil ? "holds" : thread.waits_for_gil ? "waits" : "none";
  if (const auto* frame = diagnose::place_in(thread.stack); frame != nullptr) {
    json["place"] = diagnose::printable(diagnose::place_text(*frame, app_directory));
    json["function"] = or_null(diagnose::printable(frame->function));
  }
  return json;
}

/// A number that a request may name; 0 when it does not.
std::int64_t number_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  return found != request.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

std::string word_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  return found != request.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::optional<std::string> ControlAnswers::answer(ControlSocket::Ticket ticket,
                                                  std::string_view line) {
  const Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) return control_error("a request is a JSON object on one line");
  if (number_in(request, "v") != kControlVersion) {
    return control_error(
        fmt::format("this server speaks version {} of the control protocol", kControlVersion));
  }
  const std::string command = word_in(request, "command");
  const auto pid = static_cast<pid_t>(number_in(request, "pid"));
  if (command == "hello") return done(hello());
  if (command == "status") return done(status());
  if (command == "workers") return done(workers());
  if (command == "requests") return done(requests());
  if (command == "incidents") return done(incidents());
  if (command == "advise") return done(figures());
  if (command == "profile") {
    return profile({ticket, pid, static_cast<int>(number_in(request, "seconds")),
                    static_cast<int>(number_in(request, "rate")),
                    word_in(request, "threads") == "gil"});
  }
  if (command == "stacks") return stacks(pid);
  if (command == "explain")
    return explain(word_in(request, "ref"), word_in(request, "event") == "slow_request");
  if (command == "reload") return reload();
  if (command == "ttin") return change_workers(+1);
  if (command == "ttou") return change_workers(-1);
  return control_error(fmt::format("unknown command '{}'", diagnose::printable(command)));
}

Json ControlAnswers::hello() const {
  std::string bound;
  for (const BoundListener& listener : arbiter_.listeners_)
    bound += (bound.empty() ? "" : ",") + listener.name;
  return {{"version", TRICORN_VERSION},
          {"pid", ::getpid()},
          {"app", or_null(arbiter_.options_.app)},
          {"listening", or_null(bound)}};
}

Json ControlAnswers::status() const {
  unsigned ready = 0, booting = 0, leaving = 0, running = 0, queued = 0;
  std::uint64_t connections = 0, answered = arbiter_.answered_by_dead_;
  for (const auto& [pid, worker] : arbiter_.workers_) {
    const heartbeat::Header& header = worker->page.header();
    unsigned& kind = worker->leaving ? leaving : worker->ready() ? ready : booting;
    ++kind;
    running += busy_threads(worker->page);
    queued += worker->page.header().waiting.load(std::memory_order_relaxed);
    connections += header.connections.load();
    answered += header.requests.load();
  }
  const bool stopping = arbiter_.state_ == Arbiter::State::Stopping;
  const bool running_now = arbiter_.state_ == Arbiter::State::Running;
  std::uint64_t incidents = 0;
  Json by_class = Json::object();
  for (const auto& [cause, count] : arbiter_.incidents_.ring().counts()) {
    incidents += count;
    by_class[cause] = count;
  }
  const bool reloading = arbiter_.next_spawner_.has_value() || arbiter_.reload_ != nullptr;
  Json json = hello();
  json["state"] = stopping ? "stopping" : running_now ? "running" : "starting";
  json["uptime_s"] = seconds_of(base::monotonic_ns() - arbiter_.started_ns_);
  json["reload"] = reloading ? "under way" : "none";
  json["worker_class"] = arbiter_.options_.worker_class;
  json["threads"] = arbiter_.options_.threads;
  json["timeout_s"] = seconds_of(arbiter_.options_.timeout_ns);
  json["workers"] = {{"wanted", arbiter_.target_workers_},
                     {"ready", ready},
                     {"booting", booting},
                     {"leaving", leaving}};
  json["requests"] = {{"answered", answered}, {"running", running}, {"queued", queued}};
  json["connections"] = connections;
  json["incidents"] = {{"total", incidents}, {"by_class", by_class}};
  json["report"] = or_null(arbiter_.options_.report);
  return json;
}

Json ControlAnswers::worker(const WorkerProcess& worker) const {
  const heartbeat::Header& header = worker.page.header();
  const diagnose::Usage usage = diagnose::usage_of(worker.pid);
  const IncidentRing::Kept* last =
      worker.ref.empty() ? nullptr : arbiter_.incidents_.ring().find(worker.ref);
  return {{"pid", worker.pid},
          {"age", worker.age},
          {"uptime_s", seconds_of(base::monotonic_ns() - header.forked_ns.load())},
          {"state", state_of(worker)},
          {"process_state", std::string(1, usage.state)},
          {"requests", header.requests.load()},
          {"running", busy_threads(worker.page)},
          {"threads", worker.page.slot_count()},
          {"queued", worker.page.header().waiting.load(std::memory_order_relaxed)},
          {"connections", header.connections.load()},
          {"rss_bytes", or_null(usage.rss_bytes)},
          {"cpu_s", usage.cpu_ns < 0 ? Json(nullptr) : Json(seconds_of(usage.cpu_ns))},
          {"last_incident", last == nullptr ? Json(nullptr) : Json::parse(last->summary)}};
}

Json ControlAnswers::workers() const {
  Json list = Json::array();
  std::vector<const WorkerProcess*> by_age;
  for (const auto& [pid, worker] : arbiter_.workers_) by_age.push_back(worker.get());
  std::sort(by_age.begin(), by_age.end(),
            [](const auto* a, const auto* b) { return a->age < b->age; });
  for (const WorkerProcess* one : by_age) list.push_back(worker(*one));
  return list;
}

// The oldest first; so many are looked at, the others are only listed.
Json ControlAnswers::requests() const {
  std::vector<Running> running;
  for (const auto& [pid, worker] : arbiter_.workers_) {
    for (std::uint32_t i = 0; i < worker->page.slot_count(); ++i) {
      const std::int64_t started = worker->page.slot(i).started_ns.load();
      if (started != 0) running.push_back({started, worker.get(), i});
    }
  }
  std::sort(running.begin(), running.end(),
            [](const Running& a, const Running& b) { return a.started_ns < b.started_ns; });
  const std::int64_t now = base::monotonic_ns();
  Json list = Json::array();
  for (const Running& one : running) {
    list.push_back(
        request_json(one, now, list.size() < kRequestsLooked, arbiter_.options_.app_directory));
  }
  return list;
}

// The texts are JSON already; parsing them would take longer than all the rest.
std::string ControlAnswers::stacks(pid_t pid) const {
  std::string list;
  std::size_t looked = 0;
  std::size_t left_out = 0;
  for (const auto& [number, worker] : arbiter_.workers_) {
    if (pid != 0 && number != pid) continue;
    if (++looked > kStacksWorkers) {
      ++left_out;
      continue;
    }
    const diagnose::ProcessLook look = worker->inspector->full_look({number, 0, nullptr});
    const Json head = {{"pid", number},
                       {"python", look.python_readable ? "read" : "not readable"},
                       {"gil_holder", look.gil_holder},
                       {"gc", look.gc_collecting},
                       {"took_us", look.took_ns / 1000}};
    std::string one = text_of(head);
    one.pop_back();
    list += fmt::format("{}{},\"threads\":{}}}", list.empty() ? "" : ",", one,
                        diagnose::threads_json(look.threads));
  }
  if (looked == 0 && pid != 0) return control_error(fmt::format("no worker has pid {}", pid));
  return fmt::format(R"({{"v":{},"ok":true,"data":{{"workers":[{}],"left_out":{}}}}})",
                     kControlVersion, list, left_out);
}

Json ControlAnswers::incidents() const {
  Json list = Json::array();
  for (const IncidentRing::Kept& kept : arbiter_.incidents_.ring().kept())
    list.push_back(Json::parse(kept.summary));
  return list;
}

std::string ControlAnswers::explain(const std::string& ref, bool slow) const {
  const IncidentRing::Kept* found = arbiter_.incidents_.ring().find(ref, slow);
  if (found == nullptr) {
    return control_error(
        fmt::format("no incident with reference '{}' among the last {}; older ones are in the "
                    "report file, if --report names one",
                    diagnose::printable(ref), arbiter_.incidents_.ring().kept().size()));
  }
  return fmt::format(R"({{"v":{},"ok":true,"data":{}}})", kControlVersion, found->report);
}

std::string ControlAnswers::change_workers(int by) const {
  const unsigned before = arbiter_.target_workers_;
  if (arbiter_.state_ != Arbiter::State::Running)
    return control_error("the server is not running yet, or stops");
  if (by < 0 && before <= 1) return control_error("the last worker cannot be taken away");
  arbiter_.change_workers(by);
  return done({{"workers_before", before}, {"workers_now", arbiter_.target_workers_}});
}

std::optional<std::string> ControlAnswers::profile(const ProfileWish& wish) const {
  if (arbiter_.profiler_ != nullptr) return control_error("another profile is being taken");
  if (wish.seconds < 1 || wish.seconds > kProfileSecondsMax)
    return control_error(fmt::format("seconds: 1 to {}", kProfileSecondsMax));
  if (wish.rate < 1 || wish.rate > kProfileRateMax)
    return control_error(fmt::format("rate: 1 to {}", kProfileRateMax));
  if (wish.pid != 0 && !arbiter_.workers_.contains(wish.pid))
    return control_error(fmt::format("no worker has pid {}", wish.pid));
  arbiter_.profiler_ = std::make_unique<Profiler>(wish, base::monotonic_ns());
  return std::nullopt;
}

// What advice rests on; the advice itself is the client's.
Json ControlAnswers::figures() const {
  constexpr std::size_t kPathsShown = 20;
  auto latency = arbiter_.latency_of_dead_;
  std::int64_t cpu_ns = 0, alive_ns = 0;
  for (const auto& [pid, worker] : arbiter_.workers_) {
    const heartbeat::Header& header = worker->page.header();
    for (std::size_t i = 0; i < latency.size(); ++i) latency[i] += header.latency.counts[i].load();
    cpu_ns += std::max<std::int64_t>(diagnose::usage_of(pid).cpu_ns, 0);
    alive_ns += base::monotonic_ns() - header.forked_ns.load();
  }
  Json buckets = Json::array();
  for (std::size_t i = 0; i < latency.size(); ++i) {
    if (latency[i] != 0)
      buckets.push_back(
          {static_cast<double>(heartbeat::latency_bucket_end_ns(i)) / 1e9, latency[i]});
  }
  Json paths = Json::array();
  for (const PathFigures& path : arbiter_.paths_.slowest(kPathsShown)) {
    const auto answered = static_cast<std::int64_t>(path.count - path.timed_out);
    paths.push_back({{"request", diagnose::printable(path.request)},
                     {"count", path.count},
                     {"timed_out", path.timed_out},
                     {"longest_s", seconds_of(path.longest_ns)},
                     {"mean_s", answered == 0 ? 0 : seconds_of(path.total_ns / answered)}});
  }
  const LoadPeriod load = arbiter_.load_.lately();
  Json json = status();
  json["cpus"] = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  json["cpu_share"] = alive_ns == 0 ? 0 : static_cast<double>(cpu_ns * 1000 / alive_ns) / 1000;
  json["latency"] = buckets;
  json["paths"] = paths;
  json["load"] = {
      {"seconds", load.began_ns == 0 ? 0 : seconds_of(base::monotonic_ns() - load.began_ns)},
      {"readings", load.readings},
      {"busy_share",
       load.threads == 0 ? 0 : static_cast<double>(load.busy * 1000 / load.threads) / 1000},
      {"busy_max", load.busy_max},
      {"full_share",
       load.readings == 0 ? 0 : static_cast<double>(load.full * 1000 / load.readings) / 1000}};
  return json;
}

std::string ControlAnswers::reload() const {
  if (arbiter_.state_ != Arbiter::State::Running)
    return control_error("the server is not running yet, or stops");
  arbiter_.reload();
  return done({{"reload", "begun; the log and `tricornctl status` say how it ends"}});
}

}  // namespace tricorn::arbiter
