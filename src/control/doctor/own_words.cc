#include "control/doctor/own_words.h"

#include <algorithm>
#include <iterator>

#include "control/doctor/record.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// Source: src/diagnose/causes.def; a test compares the two.
constexpr Meaning kMeanings[] = {
    {"memory.oom_kill", "oom_confirmed"},
    {"memory.pressure", "memory_pressure"},
    {"memory.limit", "memory_pressure"},
    {"cpu.throttled", "tricorn:cpu.throttled"},
    {"cpu.starved", "tricorn:cpu.starved"},
    {"cpu.python", "cpu_bound"},
    {"cpu.native_gil", "cpu_bound"},
    {"cpu.native_nogil", "cpu_bound"},
    {"gc.pause", "tricorn:gc.pause"},
    {"wait.gil", "blocked_in:lock"},
    {"wait.sleep", "blocked_in:sleep"},
    {"wait.network", "blocked_in:socket", true},
    {"wait.connect", "blocked_in:socket", true},
    {"wait.dns", "blocked_in:dns"},
    {"wait.database", "blocked_in:database", true},
    {"wait.lock", "blocked_in:lock"},
    {"wait.queue", "blocked_in:lock"},
    {"wait.deadlock", "blocked_in:lock"},
    {"wait.subprocess", "blocked_in:subprocess"},
    {"wait.file_lock", "blocked_in:lock"},
    {"wait.pipe", "tricorn:wait.pipe"},
    {"wait.disk", "blocked_in:file"},
    {"client.slow_upload", "slow_client_or_idle_connection"},
    {"client.slow_headers", "slow_client_or_idle_connection"},
    {"client.slow_read", "slow_client_or_idle_connection"},
    {"overload.queue", "tricorn:overload.queue"},
    {"timeout.too_short", ""},
    {"advancing", ""},  // its name in "Slow request"
    {"net.port_exhaustion", "tricorn:net.port_exhaustion"},
    {"fd.exhaustion", "tricorn:fd.exhaustion"},
    {"pids.exhaustion", "tricorn:pids.exhaustion"},
    {"signal.stopped", "tricorn:signal.stopped"},
    {"signal.external_kill", ""},  // deaths are told in Gunicorn's words as well
    {"signal.own_kill", ""},
    {"crash.segv", ""},
    {"crash.bus", ""},
    {"crash.ill", ""},
    {"crash.fpe", ""},
    {"crash.abort", ""},
    {"crash.stack_overflow", ""},
    {"exit.code", ""},
    {"boot.failure", ""},
    {"boot.slow", "boot_timeout_or_slow_import"},
    {"app.recursion", "tricorn:app.recursion"},
    {"unknown", ""},
};

constexpr OwnTrouble kTroubles[] = {
    {"lost_thread", "the thread of an ended request did not come back",
     "No exception reaches a call into C that lasts, or code that catches everything: the worker "
     "was replaced. Give that wait a time-out shorter than --request-timeout."},
    {"request_cut", "requests cut when their worker had to leave",
     "They were still running at the end of --graceful-timeout: raise it, or make them shorter."},
    {"worker_stuck", "workers that not even SIGKILL ends",
     "They sleep in the kernel: look at the disk, NFS or FUSE file system that does not answer."},
    {"unseen_requests", "requests read by a worker that died before the application saw them",
     "Their clients had a 503 and may send them again: the line of the same ref says why that "
     "worker died."},
    {"forked_copy", "forked processes that came back from the application",
     "The application forks while it serves, and the child returned from the view: end it with "
     "os._exit(), or start it by subprocess or multiprocessing."},
    {"slow_request", "slow requests",
     "They ran longer than the limit for slow requests; the quoted lines say on what. tricornctl "
     "explain REF has the evidence while the server runs."},
    {"overload.queue", "all threads busy, requests waited",
     "Look at what the busy threads do: if they wait, mend that or use more threads; if they "
     "compute, more CPUs and workers."},
    {"worker_memory", "workers beyond --max-worker-memory",
     "A worker grew beyond the limit: look for what it keeps. If it is as big from its start, the "
     "limit is too low."},
    {"exit.code", "workers that left by themselves",
     "Code that serves requests calls os._exit, or exit() in C: the line says where, remove it."},
    {"app.recursion", "recursion without an end",
     "Look at the function the line names; data with a cycle is a usual reason."},
    {"cpu.throttled", "stopped by the CPU quota of the control group",
     "The work was ready, the CPU limit stopped it: raise the limit, or have fewer workers and "
     "threads share it."},
    {"cpu.starved", "other processes had the CPU",
     "Look for the neighbour (top), for too many workers, or for CPU stolen from this virtual "
     "machine."},
    {"gc.pause", "Python's garbage collector ran",
     "Keep fewer objects, call gc.freeze() before the fork (--preload), or raise "
     "gc.set_threshold."},
    {"wait.pipe", "waiting for the other end of a pipe",
     "Start the pipe's reader or writer again; for stdout, look at what collects this server's "
     "output."},
    {"net.port_exhaustion", "out of local ports",
     "Reuse connections (a pool, keep-alive), or widen net.ipv4.ip_local_port_range."},
    {"fd.exhaustion", "out of file descriptors", "Raise ulimit -n, or close what is left open."},
    {"pids.exhaustion", "no new process or thread was allowed",
     "Raise the limit (pids.max, ulimit -u), or start fewer threads and processes."},
    {"accept_failed", "connections could not be accepted",
     "If the line says \"Too many open files\", raise ulimit -n, or close what is left open."},
    {"fork_failed", "workers could not be forked",
     "The line says why: limits of processes (pids.max, ulimit -u) and of memory are usual."},
    {"signal.stopped", "workers stopped by a signal, a debugger or a frozen control group",
     "Find who stopped them: docker pause, a debugger, a snapshot or checkpoint."},
    {"arbiter_stalled", "the server itself did not run",
     "The whole server stood still: a paused container or machine, or no CPU at all. No worker "
     "was judged by that time."},
    {"spawner_died", "the process that forks workers died",
     "Workers go on and another one is started: find who killed it, and look at the kernel's log."},
    {"logger_died", "the process that calls Python's logging died",
     "Lines went to the error log meanwhile: look at the handlers of the logging configuration."},
    {"reload_failed", "a reload failed",
     "The old workers serve on with the old code and settings: mend what the line says, then "
     "reload again."},
    {"upgrade_failed", "an upgrade failed",
     "The old server serves on: mend what the line says, then send USR2 again."},
    {"hook_failed", "a hook of the configuration failed",
     "Mend that function of the configuration file; the server went on without what it does."},
    {"log_lines_lost", "access lines were lost",
     "What reads the access log does not keep up: look at the collector or the disk."},
};

// How messages begin that tell of one; those with a class have own ways. Source: src/arbiter,
// src/worker.
struct Beginning {
  std::string_view words, name;
};
constexpr Beginning kBeginnings[] = {
    {"accept on ", "accept_failed"},
    {"No worker could be forked: ", "fork_failed"},
    {"Cannot prepare a worker: ", "fork_failed"},
    {"The arbiter itself was not running for ", "arbiter_stalled"},
    {"Spawner (pid:", "spawner_died"},
    {"No new spawner: ", "spawner_died"},
    {"The process that calls Python's logging (pid:", "logger_died"},
    {"No process to call Python's logging", "logger_died"},
    {"Reload failed, the old workers go on serving: ", "reload_failed"},
    {"No upgrade: ", "upgrade_failed"},
    {"No upgrade, hook pre_exec: ", "upgrade_failed"},
    {"Access log reader too slow: ", "log_lines_lost"},
};

// "GET /path did this": without its query.
std::string_view path_of(std::string_view text) {
  const std::string_view method = take_token(text);
  const bool upper = !method.empty() && std::all_of(method.begin(), method.end(),
                                                    [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!upper || take_blanks(text) == 0) return {};
  const std::string_view target = take_token(text);
  const std::string_view path = bare_path(target);
  return target.starts_with('/') && path.size() <= kPathBytesMax ? path : std::string_view{};
}

/// "47, forked in GET /path of worker 44, came back from the application …", behind "Process ".
std::string_view forked_copy_in(std::string_view words, std::string_view& path) {
  constexpr std::string_view kForked = ", forked in ";
  const std::size_t forked = words.find_first_not_of("0123456789");
  if (forked == 0 || forked == std::string_view::npos ||
      !words.substr(forked).starts_with(kForked) ||
      !contains(words, ", came back from the application"))
    return {};
  path = path_of(words.substr(forked + kForked.size()));
  return "forked_copy";
}

}  // namespace

const Meaning* meaning_of(std::string_view cause) {
  const auto* const found =
      std::find_if(std::begin(kMeanings), std::end(kMeanings),
                   [&](const Meaning& meaning) { return meaning.cause == cause; });
  return found == std::end(kMeanings) ? nullptr : found;
}

OwnWords read_own_words(std::string_view text) {
  const std::size_t colon = text.find(": ");
  if (colon == std::string_view::npos || !contains(text, "; ref ")) return {};
  OwnWords words;
  words.meaning = meaning_of(text.substr(0, colon));
  if (words.meaning == nullptr) return {};
  std::size_t end = text.find("; ");
  if (words.meaning->cause == "boot.slow") end = text.find("; ", end + 2);  // and what it does
  words.detail = text.substr(0, end);
  words.path = path_of(text.substr(colon + 2));
  return words;
}

OwnWords slow_preload_in(std::string_view message) {
  constexpr std::string_view kSlowly = ") loads the application slowly, no worker starts before: ";
  const std::size_t at = message.find(kSlowly);
  if (!message.starts_with("Spawner (pid:") || at == std::string_view::npos) return {};
  return read_own_words(message.substr(at + kSlowly.size()));
}

const OwnTrouble* own_trouble(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kTroubles), std::end(kTroubles),
                   [&](const OwnTrouble& trouble) { return trouble.name == name; });
  return found == std::end(kTroubles) ? nullptr : found;
}

std::string_view own_trouble_in(std::string_view message, std::string_view& path) {
  for (const auto& [words, name] : kBeginnings)
    if (message.starts_with(words)) return name;
  if (take(message, "Process ")) return forked_copy_in(message, path);
  if (!take(message, "Hook ")) return {};  // "Hook post_fork: why"
  const std::size_t end = message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  const bool named = end != std::string_view::npos && end > 0 && message[end] == ':';
  return named ? "hook_failed" : std::string_view{};
}

std::string_view own_trouble_of_worker(std::string_view words, std::string_view& path) {
  if (words.starts_with("is replaced: the thread of ref ")) return "lost_thread";
  if (words.starts_with("is replaced when its requests are done: ") ||
      words.starts_with("has more memory than allowed from its start"))
    return "worker_memory";
  if (words.starts_with("had read ") && contains(words, " that the application has not seen: "))
    return "unseen_requests";
  if (words.starts_with("cannot be killed: ")) return "worker_stuck";
  if (!words.starts_with("cut at ")) return {};
  const std::size_t colon = words.find(": ");
  if (colon == std::string_view::npos) return {};
  path = path_of(words.substr(colon + 2));
  return "request_cut";
}

}  // namespace tricorn::control::doctor
