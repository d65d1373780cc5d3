// The arbiter's executable: reads what the command line and the environment say, then runs the
// arbiter.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "arbiter/arbiter.h"
#include "arbiter/listeners.h"
#include "config/logging.h"
#include "config/parse.h"
#include "config/resolve.h"

namespace {

using tricorn::arbiter::Options;
using tricorn::base::Result;
using tricorn::config::Invocation;
using tricorn::config::Layer;

constexpr std::int64_t kSecond = 1'000'000'000;

int usage_error(const tricorn::base::Error& error) {
  std::fprintf(stderr, "%s\n", error.text.c_str());
  return error.code == 2 ? 2 : 1;
}

std::string text(const Layer& settings, const char* name) {
  const Layer& value = settings.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

// A third of the time-out: early enough to act, late enough to be no noise. Below 5 s the time-out
// itself comes soon enough.
std::int64_t default_slow_ns(std::int64_t timeout_ns) {
  if (timeout_ns == 0) return 10 * kSecond;
  const std::int64_t slow = std::max(timeout_ns / 3, 5 * kSecond);
  return slow < timeout_ns ? slow : 0;
}

void set_slow(const Layer& settings, Options& options) {
  const std::string given = text(settings, "slow_request");
  const std::int64_t limit_ns = options.request_limit_ns();
  if (given.empty()) {
    options.slow_ns = default_slow_ns(limit_ns);
    return;
  }
  options.slow_ns = std::llround(std::stod(given) * kSecond);
  if (options.slow_ns != 0 && limit_ns != 0 && options.slow_ns >= limit_ns) {
    options.warnings.push_back(fmt::format(
        "slow_request {} is not below the time-out: no request is logged as slow", given));
  }
}

// The values of all sources but the configuration file, which the spawner will give.
struct Sources {
  Layer environment = Layer::object();
  Layer arguments_variable = Layer::object();
  Layer command_line = Layer::object();
  std::string app;
};

// Addresses that cannot be listened at are told before anything is started.
Result<void> set_bind(const Layer& settings, Options& options) {
  options.bind = settings.at("bind").get<std::vector<std::string>>();
  for (const std::string& address : options.bind) {
    if (const auto fault = tricorn::arbiter::address_fault(address))
      return tricorn::base::fail(*fault + "\n");
  }
  if (options.bind.size() > tricorn::arbiter::kListenersMax) {
    return tricorn::base::fail(
        fmt::format("Invalid value for bind: {} addresses\n\nError: at most {} are possible",
                    options.bind.size(), tricorn::arbiter::kListenersMax));
  }
  return {};
}

Result<Options> options_of(const Sources& sources, const std::string& conf_json) {
  const std::vector<Layer> layers{sources.environment, Layer::parse(conf_json),
                                  sources.arguments_variable, sources.command_line};
  auto resolved = tricorn::config::resolve(layers);
  if (!resolved) return tricorn::base::Unexpected{resolved.error()};
  Layer& settings = *resolved;
  if (!sources.app.empty() && !layers[1].contains("default_proc_name"))
    settings["default_proc_name"] = sources.app;
  Options options;
  options.app = sources.app.empty() ? text(settings, "wsgi_app") : sources.app;
  if (options.app.empty()) return tricorn::base::fail("No application module specified.");
  resolved->at("default_proc_name") = options.app;
  options.settings_json = settings.dump();
  if (auto set = set_bind(settings, options); !set) return tricorn::base::Unexpected{set.error()};
  options.backlog = settings.at("backlog").get<int>();
  options.umask = settings.at("umask").get<unsigned>();
  options.workers = settings.at("workers").get<std::uint32_t>();
  options.worker_class = text(settings, "worker_class");
  options.threads = settings.at("threads").get<std::uint32_t>();
  if (options.threads > tricorn::heartbeat::kSlotsMax) {
    return tricorn::base::fail(
        fmt::format("Invalid value for threads: {}\n\n\nError: at most {} threads are possible",
                    options.threads, tricorn::heartbeat::kSlotsMax));
  }
  options.timeout_ns = settings.at("timeout").get<std::int64_t>() * kSecond;
  options.request_timeout_ns = settings.at("request_timeout").get<std::int64_t>() * kSecond;
  options.boot_timeout_ns = settings.at("boot_timeout").get<std::int64_t>() * kSecond;
  options.graceful_timeout_ns = settings.at("graceful_timeout").get<std::int64_t>() * kSecond;
  options.status_by_cause = settings.at("timeout_status") == "by-cause";
  options.preload = settings.at("preload_app").get<bool>() && !settings.at("reload").get<bool>();
  options.daemon = settings.at("daemon").get<bool>();
  options.keep_stdio = settings.at("enable_stdio_inheritance").get<bool>();
  options.reuse_port = settings.at("reuse_port").get<bool>();
  if (!settings.at("user").is_null()) options.user = settings.at("user").get<std::int64_t>();
  if (!settings.at("group").is_null()) options.group = settings.at("group").get<std::int64_t>();
  options.access_log = text(settings, "accesslog");
  options.process_name = text(settings, "proc_name");
  if (options.process_name.empty()) options.process_name = text(settings, "default_proc_name");
  options.pidfile = text(settings, "pidfile");
  options.report = text(settings, "report");
  options.control = !settings.at("control_socket_disable").get<bool>();
  options.control_socket = text(settings, "control_socket");
  options.control_socket_mode = settings.at("control_socket_mode").get<unsigned>();
  options.error_log.path = text(settings, "errorlog");
  options.python_log = tricorn::config::wants_python_log(settings);
  options.error_log = tricorn::config::error_log_of(settings);
  options.statsd = {text(settings, "statsd_host"), text(settings, "statsd_prefix"),
                    text(settings, "dogstatsd_tags")};
  options.backlog_metric = settings.at("enable_backlog_metric").get<bool>();
  if (settings.at("syslog").get<bool>()) {
    options.syslog = {text(settings, "syslog_addr"), text(settings, "syslog_facility"),
                      tricorn::config::syslog_ident(settings, "error")};
  }
  options.app_directory = text(settings, "chdir");
  options.warnings = tricorn::config::warnings_of({layers.begin() + 1, layers.end()});
  if (settings.at("reload") == true && settings.at("preload_app") == true) {
    options.warnings.emplace_back(
        "Setting preload_app does not act with reload: each worker loads the changed code");
  }
  set_slow(settings, options);
  options.max_worker_memory = settings.at("max_worker_memory").get<std::int64_t>();
  const bool print = settings.at("print_config").get<bool>();
  options.check_only = print || settings.at("check_config").get<bool>();
  if (print) options.print = tricorn::config::print_config(settings, layers[1]);
  return options;
}

// Gunicorn's order: -c of the command line, else of GUNICORN_CMD_ARGS, else ./gunicorn.conf.py.
tricorn::arbiter::ConfLocation conf_location(const Sources& sources) {
  for (const Layer* layer : {&sources.command_line, &sources.arguments_variable}) {
    if (layer->contains("config")) return {layer->at("config").get<std::string>(), true};
  }
  return {};
}

Result<Sources> read_sources(const Invocation& invocation) {
  Sources sources;
  sources.environment =
      tricorn::config::environment_layer([](const char* name) { return std::getenv(name); });
  sources.command_line = Layer::parse(invocation.values_json);
  sources.app = invocation.app;
  // A program's own application: see python/tricorn/compat/launch.py.
  const char* application = std::getenv("TRICORN_APPLICATION");
  if (application != nullptr) sources.app = application;
  const bool takes_arguments =
      application == nullptr || std::getenv("TRICORN_ARGUMENTS") != nullptr;
  const char* variable = takes_arguments ? std::getenv("GUNICORN_CMD_ARGS") : nullptr;
  if (variable != nullptr) {
    auto words = tricorn::config::split_words(variable);
    if (!words) return tricorn::base::fail("\nError: " + words.error().text);
    auto parsed = tricorn::config::parse_arguments(*words);
    if (!parsed) return tricorn::base::Unexpected{parsed.error()};
    sources.arguments_variable = Layer::parse(parsed->values_json);
  }
  return sources;
}

// $PWD when it is this directory: the links in it may lead to another one by the next upgrade, as
// in Gunicorn.
std::string start_directory() {
  std::error_code none;
  const auto here = std::filesystem::current_path(none);
  const char* pwd = std::getenv("PWD");
  return pwd != nullptr && std::filesystem::equivalent(pwd, here, none) ? pwd : here.string();
}

// What the launcher was called by, else the way by Python.
tricorn::arbiter::Program program_of(const std::vector<std::string>& arguments) {
  tricorn::arbiter::Program program;
  const char* python = std::getenv("TRICORN_PYTHON");
  const char* launcher = std::getenv("TRICORN_COMMAND");
  program.spawner = {python != nullptr ? python : "python3", "-m", "tricorn.spawner"};
  program.command = {program.spawner.front(), "-m", "tricorn"};
  if (launcher != nullptr) program.command = {launcher};
  program.command.insert(program.command.end(), arguments.begin(), arguments.end());
  if (const char* own = std::getenv("TRICORN_SPAWNER")) {  // runs again to be spawner or successor
    const Layer words = Layer::parse(own, nullptr, false);
    if (words.is_array() && !words.empty())
      program.spawner = program.command = words.get<std::vector<std::string>>();
  }
  program.directory = start_directory();
  return program;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto invocation = tricorn::config::parse_arguments(arguments);
  if (!invocation) return usage_error(invocation.error());
  if (invocation->action == Invocation::Action::Help)
    return std::fputs(tricorn::config::help_text().c_str(), stdout) < 0;
  if (invocation->action == Invocation::Action::Version)
    return std::puts("tricorn (version " TRICORN_VERSION ")") < 0;
  auto sources = read_sources(*invocation);
  if (!sources) return usage_error(sources.error());
  tricorn::arbiter::Arbiter arbiter(
      program_of(arguments), conf_location(*sources),
      [&sources](const std::string& conf) { return options_of(*sources, conf); });
  return arbiter.run();
}
