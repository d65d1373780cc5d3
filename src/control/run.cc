#include "control/run.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "control/advice.h"
#include "control/client.h"
#include "control/doctor/doctor.h"
#include "control/flame.h"
#include "control/incident_file.h"
#include "control/render.h"
#include "control/top.h"

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

// No limit of ours: a shell's arguments end before.
constexpr int kFilesMax = std::numeric_limits<int>::max();

constexpr int kPidMax = 4194304;  // Source: proc(5), pid_max

const std::vector<Command> kCommands = {
    {"status", "", "the server in a few lines: workers, requests, incidents", "",
     "Works while every worker hangs, as all commands do: nothing in a worker has to answer.\n", 0,
     0},
    {"workers", "", "each worker: state, requests, memory, CPU, last incident", "",
     "STATE is booting, ready, draining, timed out, being killed, exiting or stopped; RUNNING is\n"
     "busy threads of all threads; RSS counts pages shared with other workers too.\n",
     0, 0},
    {"requests", "", "each running request: how long, in which thread, at which line", "",
     "Oldest first. PLACE is the innermost line of the application's own code. The 64 oldest are\n"
     "looked at, the others are listed without a place.\n",
     0, 0},
    {"stacks", "[PID] ", "Python stacks of all threads of a worker, or of all workers", "",
     "Read from outside: no worker is stopped or asked. Innermost frame first; the thread that\n"
     "holds the GIL is marked.\n",
     1, 0},
    {"incidents", "", "the last incidents: time, class, request, place, reference", "--report",
     "The server keeps the last 100; --report reads all that are in the file.\n", 0, 0},
    {"explain", "REF ", "all that is known about one incident or slow request",
     "--report --format --output",
     "REF is the reference in the log line and in the client's answer. Of a slow request --format\n"
     "gives where its time went: svg (a flame graph), speedscope or collapsed. With --report and\n"
     "--json: a list when the file has several entries of that reference.\n",
     1, 1},
    {"top", "", "status, workers and requests, live; q quits", "--once",
     "Not in a terminal, or with --once or --json, it prints once.\n", 0, 0},
    {"profile", "[PID] ", "where requests spend their time, sampled from outside",
     "--seconds --rate --format --output --gil",
     "No worker is stopped, changed or slowed down. Time is wall time, waiting included; --gil "
     "counts\n"
     "only the thread that holds the GIL. FORMAT is svg (a flame graph), speedscope or collapsed; "
     "by\n"
     "default as the name of --output ends: .svg, .json, else collapsed.\n",
     1, 0},
    {"advise", "", "what --timeout, --workers and --threads should be, and why", "--frontend-limit",
     "From the latencies, the slowest paths and the load since the server started, at most an "
     "hour\n"
     "of load. A warning, marked !, needs somebody to act.\n",
     0, 0},
    {"doctor", "[FILE ...] ", "why workers timed out or were killed, from logs that exist", "",
     "Reads logs of Gunicorn 0.14 to 27 and of Tricorn, plain or as Azure App Service, Heroku,\n"
     "Docker, Compose, Kubernetes, syslog, journald, Cloud Foundry and Render wrap them; - is\n"
     "standard input. Without a FILE: the incidents of the running server.\n"
     "With files it ends with 0: nothing found, 1: at least one finding, 2: a file could not be\n"
     "read or holds no line that is known.\n",
     kFilesMax, 0},
    {"reload", "", "load configuration and application again, as HUP does", "",
     "If they do not load, the old workers go on serving; the log says why.\n", 0, 0},
    {"ttin", "", "one worker more", "", "", 0, 0},
    {"ttou", "", "one worker less", "", "", 0, 0},
    {"alias", "install [--force] | remove | status ", "a `gunicorn` command that starts Tricorn",
     "", "Gunicorn's own command is kept aside and comes back with remove.\n", 2, 0},
};

int fail(const base::Error& error) {
  std::fprintf(stderr, "tricornctl: %s\n", error.text.c_str());
  return error.code == kNoServer ? 2 : 1;
}

int wrong_words(const std::string& text) {
  std::fprintf(stderr, "tricornctl: %s; see tricornctl --help\n", text.c_str());
  return 2;
}

int print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}

std::string document(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int print_json(const Json& json) { return print(document(json)); }

base::Result<Client> connect(const Wish& wish) {
  auto path = wish.has("--socket") ? base::Result<std::string>(wish.value("--socket"))
              : wish.has("--pid")  ? find_socket_of(wish.value("--pid"))
                                   : find_socket();
  if (!path) return base::Unexpected{path.error()};
  return Client::connect(*path);
}

base::Result<Json> ask(const Wish& wish, const Json& request, int seconds = 10) {
  auto client = connect(wish);
  if (!client) return base::Unexpected{client.error()};
  return client->ask(request, seconds);
}

/// Commands whose answer is only printed.
using Render = std::string (*)(const Json&);

std::string render_change(const Json& change) {
  return fmt::format("{} workers, {} before\n", member(change, "workers_now"),
                     member(change, "workers_before"));
}

std::string render_reload(const Json& answer) {
  return "reload " + member(answer, "reload") + "\n";
}

int show(const Wish& wish, Json request, Render render) {
  const auto answer = ask(wish, std::move(request));
  if (!answer) return fail(answer.error());
  return wish.has("--json") ? print_json(*answer) : print(render(*answer));
}

int stacks(const Wish& wish) {
  Json request = {{"command", "stacks"}};
  if (!wish.arguments.empty()) {
    const auto pid = whole_number("PID", wish.arguments[0], kPidMax);
    if (!pid) return wrong_words(pid.error().text);
    request["pid"] = *pid;
  }
  return show(wish, request, render_stacks);
}

/// One incident's line, as the server or the file has it.
base::Result<std::vector<std::string>> reported(const Wish& wish, const std::string& ref) {
  if (wish.has("--report")) {
    auto lines = find_incidents(wish.value("--report"), ref);
    if (lines && lines->empty() && !ref.empty())
      return base::fail(
          fmt::format("no incident with reference '{}' in {}", ref, wish.value("--report")));
    return lines;
  }
  Json request = {{"command", "explain"}, {"ref", ref}};
  if (wish.has("--format")) request["event"] = "slow_request";
  const auto answer = ask(wish, request);
  if (!answer) return base::Unexpected{answer.error()};
  return std::vector<std::string>{answer->dump()};
}

Json list_of(const std::vector<std::string>& lines) {
  Json list = Json::array();
  for (const std::string& line : lines) list.push_back(Json::parse(line, nullptr, false));
  return list;
}

/// To the file of --output, else to stdout.
int deliver(const Wish& wish, const std::string& text) {
  if (!wish.has("--output")) return print(text);
  const std::string path = wish.value("--output");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  if (!file) return fail({fmt::format("cannot write '{}'", path), 0});
  return 0;
}

std::string format_of(const Wish& wish) {
  if (wish.has("--format")) return wish.value("--format");
  const std::string path = wish.value("--output");
  if (path.ends_with(".svg")) return "svg";
  return path.ends_with(".json") ? "speedscope" : "collapsed";
}

int deliver_stacks(const Wish& wish, const std::string& title, const Json& data) {
  const auto stacks = stacks_of(data);
  if (!stacks) return fail(stacks.error());
  const auto text = in_format(format_of(wish), title, *stacks);
  if (!text) return wrong_words(text.error().text);
  return deliver(wish, *text);
}

int explain_ref(const Wish& wish) {
  const auto lines = reported(wish, wish.arguments[0]);
  if (!lines) return fail(lines.error());
  if (wish.has("--format")) {
    for (const std::string& line : *lines) {
      const Json entry = Json::parse(line, nullptr, false);
      if (stacks_of(entry)) return deliver_stacks(wish, member(entry, "request"), entry);
    }
    return fail({"it has no samples: only slow requests have them", 0});
  }
  if (wish.has("--json")) {
    const Json entries = list_of(*lines);
    return print_json(entries.size() == 1 ? entries[0] : entries);
  }
  int status = 0;
  for (const std::string& line : *lines) {
    if (const auto words = explain(line)) status |= print(*words);
  }
  return status;
}

int profile(const Wish& wish) {
  const auto seconds = whole_number("--seconds", wish.value("--seconds", "10"), 300);
  if (!seconds) return wrong_words(seconds.error().text);
  const auto rate = whole_number("--rate", wish.value("--rate", "100"), 200);
  if (!rate) return wrong_words(rate.error().text);
  if (auto known = in_format(format_of(wish), "", {}); !known)
    return wrong_words(known.error().text);
  Json request = {{"command", "profile"}, {"seconds", *seconds}, {"rate", *rate}};
  if (wish.has("--gil")) request["threads"] = "gil";
  if (!wish.arguments.empty()) {
    const auto pid = whole_number("PID", wish.arguments[0], kPidMax);
    if (!pid) return wrong_words(pid.error().text);
    request["pid"] = *pid;
  }
  constexpr int kPatience = 10;  // after the profile's own time
  const auto answer = ask(wish, request, *seconds + kPatience);
  if (!answer) return fail(answer.error());
  if (wish.has("--json")) return deliver(wish, document(*answer));
  for (const Json& pid : answer->value("not_readable", Json::array()))
    std::fprintf(stderr, "tricornctl: the Python of worker %s cannot be read\n",
                 pid.dump().c_str());
  std::fprintf(stderr, "tricornctl: %s samples in %s s\n", member(*answer, "samples").c_str(),
               member(*answer, "seconds").c_str());
  const std::string whose = wish.arguments.empty() ? "all workers" : "worker " + wish.arguments[0];
  return deliver_stacks(wish, fmt::format("tricorn, {}, {} s", whose, member(*answer, "seconds")),
                        *answer);
}

int advise_on(const Wish& wish) {
  int limit = kFrontendLimitSeconds;
  if (const std::string given = wish.value("--frontend-limit"); given == "0") {
    limit = 0;
  } else if (!given.empty()) {
    const auto seconds = whole_number("--frontend-limit", given, 86400);
    if (!seconds) return wrong_words(seconds.error().text);
    limit = *seconds;
  }
  const auto figures = ask(wish, {{"command", "advise"}});
  if (!figures) return fail(figures.error());
  const auto advice = advise(*figures, limit);
  return wish.has("--json") ? print_json(advice_json(*figures, advice))
                            : print(render_advice(*figures, advice));
}

int show_top(const Wish& wish) {
  auto client = connect(wish);
  if (!client) return fail(client.error());
  if (!wish.has("--json")) return top(std::move(*client), wish.has("--once"));
  const auto seen = look(*client);
  return seen ? print_json(*seen) : fail(seen.error());
}

int incidents(const Wish& wish) {
  if (!wish.has("--report")) return show(wish, {{"command", "incidents"}}, render_incidents);
  const auto lines = reported(wish, "");
  if (!lines) return fail(lines.error());
  const Json list = list_of(*lines);
  return wish.has("--json") ? print_json(list) : print(render_incidents(list));
}

int obey(const Wish& wish) {
  const std::string name(wish.command->name);
  if (name == "alias") return wrong_words("alias has to be the first word");
  if (wish.has("--json") && wish.has("--format"))
    return wrong_words("--json and --format are two forms of one output; choose one");
  if (name == "stacks") return stacks(wish);
  if (name == "explain") return explain_ref(wish);
  if (name == "doctor" && !wish.arguments.empty())
    return doctor::examine(wish.arguments, wish.has("--json"));
  if (name == "doctor") return show(wish, {{"command", "incidents"}}, render_incidents);
  if (name == "incidents") return incidents(wish);
  if (name == "profile") return profile(wish);
  if (name == "advise") return advise_on(wish);
  if (name == "top") return show_top(wish);
  static const std::map<std::string, Render> kPlain = {
      {"status", render_status}, {"workers", render_workers}, {"requests", render_requests},
      {"reload", render_reload}, {"ttin", render_change},     {"ttou", render_change},
  };
  return show(wish, {{"command", name}}, kPlain.at(name));
}

}  // namespace

const std::vector<Command>& commands() { return kCommands; }

int run(const std::vector<std::string>& words) {
  const auto wish = read_words(kCommands, words);
  if (!wish) return wrong_words(wish.error().text);
  if (wish->help) return print(help_of(kCommands, wish->command));
  return obey(*wish);
}

}  // namespace tricorn::control
