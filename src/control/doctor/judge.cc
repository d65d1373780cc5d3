// The verdict: from lives and events to facts and findings. Source of every rule: doctor-format,
// sections 4 and 5, told in docs/doctor.md.
#include <algorithm>

#include "control/doctor/reading.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

constexpr double kDefaultTimeoutSeconds = 30;
// A boot loop: so many lives in a row failed, each within this time of its boot.
constexpr std::size_t kLoopLives = 3;
constexpr double kYoungSeconds = 60;
constexpr double kYoungTimeouts = 1.5;
// A time-out this soon after the boot is the boot's.
constexpr double kBootTimeouts = 1.2;
constexpr double kBootSlackSeconds = 5;
constexpr std::size_t kBootTimeoutWorkers = 2;
// Boots of one slot from which silence between them is told.
constexpr int kSilentBoots = 3;

// What a worker may be sent on purpose: by the arbiter, by whoever stops it, by a terminal.
bool is_wanted_signal(int number) {
  return number == 2 || number == 3 || number == 9 || number == 15 || number == 28;
}

const Mark& first_of(const Life& life) {
  const Mark* first = nullptr;
  for (const Mark* mark : {&life.timeout, &life.killed, &life.exited, &life.signalled, &life.abort,
                           &life.leaving, &life.replaced})
    if (*mark && (first == nullptr || mark->line < first->line)) first = mark;
  static const Mark kNone;
  return first == nullptr ? kNone : *first;
}

}  // namespace

void Reading::judge_one(void* self, Life& life) { static_cast<Reading*>(self)->judge(life); }

bool Reading::showed_service(const Life& life) const {
  return lives_.served(life) || life.started || life.request;
}

bool Reading::is_boot_timeout(const Life& life) const {
  if (!life.boot || !life.timeout || showed_service(life)) return false;
  const auto lived = seconds_between(life.boot.when, life.timeout.when);
  const double limit =
      static_cast<double>(timeout_.value_or(30)) * kBootTimeouts + kBootSlackSeconds;
  return lived ? *lived >= 0 && *lived <= limit : !life.boot.when.known();
}

void Reading::judge(Life& life) {
  if (lives_.run(life.run).arbiter == life.pid && !life.boot) return;
  Facts& facts = report_.facts;
  ++facts.distinct_workers;
  if (life.leaving) ++facts.worker_exits;
  if (life.killed) judge_kill(life);
  if (life.timeout) judge_timeout(life);
  judge_crash(life);
  judge_row(life);
  judge_silence(life);
}

void Reading::judge_kill(Life& life) {
  Facts& facts = report_.facts;
  ++facts.sigkills;
  const auto after = seconds_between(life.timeout.when, life.killed.when);
  const bool own = life.timeout && (life.timeout.line < life.killed.line || (after && *after >= 0));
  if (life.kernel_oom_told || victims_.take_by_pid(life.pid, life.killed) != nullptr) {
    ++facts.oom;
    life.kernel_oom_told = true;
  } else if (own || life.own_after_timeout_told) {
    ++facts.own_after_timeout;
    findings_.add("own_kill_not_oom", {life.timeout, life.killed});
  } else if (life.kill_stop_line != 0 || life.own_told) {
    ++facts.own_at_shutdown;
    const Mark stop{life.kill_stop_line, life.killed.when};
    findings_.add("own_kill_not_oom", {stop, life.killed});
  } else if (victims_.take_by_time(life.killed) != nullptr) {
    ++facts.oom;
    life.kernel_oom_told = true;
  } else {
    ++facts.unexplained;
    Finding& finding = findings_.add("possible_oom", {life.killed});
    finding.certain = false;
    if (life.oom_denied) ++finding.denied;
  }
}

void Reading::judge_timeout(Life& life) {
  Facts& facts = report_.facts;
  ++facts.timeouts;
  if (life.no_uri) findings_.add("slow_client_or_idle_connection", {life.timeout, life.request});
  for (const std::string& path : life.paths) {
    if (facts.paths.size() < kPathsMax) facts.paths.insert(path);
    Finding& finding = findings_.add("timeout_too_short_for_path", {life.timeout, life.request});
    if (finding.paths.size() < kPathsMax) ++finding.paths[path];
  }
  const bool known = life.request || life.h12 || life.kernel_oom_told || life.cause_told ||
                     victims_.take_by_pid(life.pid, life.timeout) != nullptr;
  if (is_boot_timeout(life) && !life.slow_boot_told) {
    if (boot_timeouts_.size() < kBootFailuresMax)
      boot_timeouts_.emplace_back(life.boot, life.timeout);
    boot_timeouts_unknown_.emplace_back(life.timeout, !known);
    if (boot_timeouts_unknown_.size() > kBootFailuresMax) boot_timeouts_unknown_.pop_back();
  } else if (!known) {
    findings_.add("cause_not_in_log", {life.timeout});
  }
}

void Reading::judge_crash(const Life& life) {
  if (life.abort && !life.timeout && !life.own_told)
    findings_.add("worker_crash:SIGABRT", {life.abort});
  if (!life.signalled || is_wanted_signal(life.signal) || life.own_told) return;
  const std::string_view name = signal_name(life.signal);
  if (!name.empty()) findings_.add("worker_crash:" + std::string(name), {life.signalled});
}

void Reading::judge_row(const Life& life) {
  if (!life.boot) return;
  std::vector<Mark>& row = rows_[life.source];
  const Mark& end = first_of(life);
  const double timeout = timeout_ ? static_cast<double>(*timeout_) : kDefaultTimeoutSeconds;
  const auto lived = seconds_between(life.boot.when, end.when);
  const bool young = !lived || *lived <= std::max(kYoungSeconds, kYoungTimeouts * timeout);
  // Workers may have left before the arbiter's own word about its signal, in the same second.
  const auto to_stop = seconds_between(end.when, lives_.run(life.run).stop.when);
  const bool stopped =
      (life.stop_line != 0 && life.stop_line < end.line) || (to_stop && *to_stop == 0);
  if (!end || !young || stopped || life.autorestart || life.reload || showed_service(life)) {
    row.clear();
    return;
  }
  row.push_back(life.boot);
  if (row.size() >= kLoopLives) report_.facts.boot_loop = true;
  if (row.size() > kLoopLives) row.erase(row.begin());
}

void Reading::judge_silence(Life& life) {
  Life* before = lives_.by_id(life.previous);
  if (before == nullptr || before->ended() || before->autorestart || before->reload) return;
  life.chain = before->chain + 1;
  if (life.chain < kSilentBoots) return;
  Finding* finding = nullptr;
  if (life.chain == kSilentBoots) {
    const Life* first = lives_.by_id(before->previous);
    finding = &findings_.add("silent_worker_death",
                             {first == nullptr ? Mark{} : first->boot, before->boot, life.boot}, 2);
  } else {
    finding = &findings_.add("silent_worker_death", {life.boot});
  }
  finding->certain = false;
}

void Reading::finish_boots() {
  std::map<std::uint32_t, std::string> named;  // a source's exception, for ends without one
  std::map<LifeId, std::string> of_life;
  for (const BootFailure& failure : boot_failures_) {
    if (failure.exception.empty()) continue;
    named.try_emplace(failure.source, failure.exception);
    if (failure.life != kNobody) of_life[failure.life] = failure.exception;
  }
  std::set<LifeId> counted;
  std::set<std::uint32_t> counted_runs;  // "Reason: App failed to load." names no worker
  for (const BootFailure& failure : boot_failures_) {
    std::string exception = failure.exception;
    std::uint64_t count = 1;
    if (exception.empty()) {
      const auto own = of_life.find(failure.life);
      const auto other = named.find(failure.source);
      if (failure.life != kNobody && own != of_life.end())
        exception = own->second;
      else if (other != named.end())
        exception = other->second;
      count = exception.empty() && (failure.life == kNobody ? counted_runs.count(failure.run) == 0
                                                            : counted.insert(failure.life).second);
      if (count > 0) counted_runs.insert(failure.run);
      if (exception.empty()) exception = "unknown";
    }
    findings_.add("boot_failure:" + exception, {failure.mark}, count);
  }
  const bool said = boot_timeouts_.size() >= kBootTimeoutWorkers;
  if (said)
    for (const auto& [boot, timeout] : boot_timeouts_)
      findings_.add("boot_timeout_or_slow_import", {boot, timeout}).certain = false;
  for (const auto& [timeout, unknown] : boot_timeouts_unknown_)
    if (!said && unknown) findings_.add("cause_not_in_log", {timeout});
}

void Reading::finish_limits() {
  const Facts& facts = report_.facts;
  if (facts.timeouts == 0) return;
  const bool missing =
      command_ && !command_has_timeout_ && !command_has_config_ && !any_timeout_set_;
  if (missing) {
    Finding& finding = findings_.add("timeout_missing_default_30", {command_}, facts.timeouts);
    finding.detail = printable_part(command_text_, kQuoteBytesMax);
    for (const Mark& mark : some_timeouts_) finding.prove(mark);
  }
  if (!app_service_ || other_platform_) return;
  Finding& finding = findings_.add("frontend_limit_240", {app_service_}, facts.timeouts);
  for (const Mark& mark : some_timeouts_) finding.prove(mark);
}

void Reading::finish_memory() {
  Facts& facts = report_.facts;
  facts.oom_kills = victims_.distinct() + platform_oom_kills_;
  if (facts.oom_kills > 0) {
    findings_.remove("memory_pressure");
    Finding& finding = findings_.add("oom_confirmed", {}, facts.oom_kills);
    for (const Mark& mark : oom_proof_) finding.prove(mark);
    for (const Victim& victim : victims_.all()) finding.prove(victim.mark);
  }
  for (const Mark& exit : exits_137_) findings_.add("possible_oom", {exit}).certain = false;
}

Report Reading::finish() {
  Line line;
  while (unwrapper_.flush(line)) read_whole(line);
  for (auto& [key, lane] : lanes_) {
    lane.traceback.cut();
    if (const auto traceback = lane.traceback.take_finished())
      on_traceback(*traceback, lane.bound, lane);
  }
  report_.facts.startup_timeout = timeout_;
  lives_.for_each([&](Life& life) {
    if (life.killed && !life.kernel_oom_told)
      life.kernel_oom_told = victims_.take_by_pid(life.pid, life.killed) != nullptr;
  });
  while (!told_.empty()) settle(told_.begin()->first, nullptr);
  lives_.finish();
  finish_boots();
  finish_limits();
  finish_memory();
  report_.lines = number_;
  if (report_.known == 0) return std::move(report_);
  if (findings_.empty()) findings_.add("no_problem", {Mark{first_known_, report_.first}});
  for (const Finding* finding : findings_.in_order()) report_.findings.push_back(*finding);
  return std::move(report_);
}

}  // namespace tricorn::control::doctor
