#include "control/run.h"

#include <fmt/format.h>

#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "control/client.h"
#include "control/doctor/doctor.h"
#include "control/incident_file.h"
#include "control/render.h"
#include "control/words.h"

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

// No limit of ours: a shell's arguments end before.
constexpr int kFilesMax = std::numeric_limits<int>::max();

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
    {"explain", "REF ", "all that is known about one incident", "--report",
     "REF is the reference in the log line and in the client's answer.\n", 1, 1},
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
     "", "Gunicorn's own command is kept aside and comes back with remove.\n", 0, 2},
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

int print_json(const Json& json) {
  return print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

base::Result<Client> connect(const Wish& wish) {
  auto path = wish.has("--socket") ? base::Result<std::string>(wish.value("--socket"))
              : wish.has("--pid")  ? find_socket_of(wish.value("--pid"))
                                   : find_socket();
  if (!path) return base::Unexpected{path.error()};
  return Client::connect(*path);
}

base::Result<Json> ask(const Wish& wish, const Json& request) {
  auto client = connect(wish);
  if (!client) return base::Unexpected{client.error()};
  return client->ask(request);
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
    const auto pid = whole_number("PID", wish.arguments[0], 4194304);  // Source: proc(5) pid_max
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
  const auto answer = ask(wish, {{"command", "explain"}, {"ref", ref}});
  if (!answer) return base::Unexpected{answer.error()};
  return std::vector<std::string>{answer->dump()};
}

int explain_ref(const Wish& wish) {
  const auto lines = reported(wish, wish.arguments[0]);
  if (!lines) return fail(lines.error());
  int status = 0;
  for (const std::string& line : *lines) {
    const auto words = explain(line);
    if (wish.has("--json")) {
      status |= print_json(Json::parse(line, nullptr, false));
    } else if (words) {
      status |= print(*words);
    }
  }
  return status;
}

int incidents(const Wish& wish) {
  if (!wish.has("--report")) return show(wish, {{"command", "incidents"}}, render_incidents);
  const auto lines = reported(wish, "");
  if (!lines) return fail(lines.error());
  Json list = Json::array();
  for (const std::string& line : *lines) list.push_back(Json::parse(line, nullptr, false));
  return wish.has("--json") ? print_json(list) : print(render_incidents(list));
}

int obey(const Wish& wish) {
  const std::string name(wish.command->name);
  if (name == "stacks") return stacks(wish);
  if (name == "explain") return explain_ref(wish);
  if (name == "doctor" && !wish.arguments.empty())
    return doctor::examine(wish.arguments, wish.has("--json"));
  if (name == "doctor") return show(wish, {{"command", "incidents"}}, render_incidents);
  if (name == "incidents") return incidents(wish);
  static const std::map<std::string, Render> kPlain = {
      {"status", render_status}, {"workers", render_workers}, {"requests", render_requests},
      {"reload", render_reload}, {"ttin", render_change},     {"ttou", render_change},
  };
  return show(wish, {{"command", name}}, kPlain.at(name));
}

}  // namespace

int run(const std::vector<std::string>& words) {
  const auto wish = read_words(kCommands, words);
  if (!wish) return wrong_words(wish.error().text);
  if (wish->help) return print(help_of(kCommands, wish->command));
  return obey(*wish);
}

}  // namespace tricorn::control
