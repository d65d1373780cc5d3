// What each of Gunicorn's records does to the lives it tells of.
#include <algorithm>
#include <functional>

#include "control/doctor/reading.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

std::uint64_t mixed(std::uint64_t left, std::uint64_t right) {
  return left ^ (right + 0x9E3779B97F4A7C15ULL + (left << 6U) + (left >> 2U));
}

std::uint64_t hash_of(std::uint32_t source, const Record& record, const When& when) {
  const Stamp& stamp = record.stamp.clock != Clock::None ? record.stamp : when.wrapper;
  std::string_view message = trimmed(record.message);
  while (message.ends_with('.')) message.remove_suffix(1);
  std::uint64_t hash = std::hash<std::string_view>{}(message);
  hash = mixed(hash, source);
  hash = mixed(hash, static_cast<std::uint64_t>(stamp.ms));
  hash = mixed(hash, static_cast<std::uint64_t>(record.column));
  return mixed(hash, std::hash<std::string_view>{}(record.level));
}

}  // namespace

void Reading::on_record(const Record& record, const Line& line, Lane& lane) {
  const std::uint32_t source = source_of(line);
  const Mark mark = here_;
  const std::uint64_t hash = hash_of(source, record, mark.when);
  if (is_copy(hash, mark.when.known())) {
    // Its traceback is a copy too, unless the lines are doubled one by one.
    if (lane.context.hash != hash || lane.context.used) lane.context.copy = true;
    return;
  }
  quote(mark.line, record.message.empty() ? line.text : line.text);
  if (record.by_arbiter && record.column >= 0 && record.kind != Kind::Start)
    (void)lives_.run_of_arbiter(source, record.column);
  LifeId about = kNobody;
  if (record.kind == Kind::Timeout || record.kind == Kind::RequestTimeout) end_told_stack(lane);
  switch (record.kind) {
    case Kind::Start:
      lives_.start(source, record.column, mark.line);
      break;
    case Kind::Boot: {
      const auto [life, copy] = lives_.boot(source, record.pid, record.column, mark);
      if (!copy) ++report_.facts.boots;
      victims_.note_worker(record.pid);
      break;
    }
    case Kind::Timeout:
      on_timeout(record, mark);
      break;
    case Kind::RequestTimeout:
      on_request_timeout(record, mark);
      break;
    case Kind::SlowRequest:
    case Kind::Told:
      on_told(record, mark);
      break;
    case Kind::StopSignal:
      lives_.stop(source, record.column, mark);
      on_stop_sign();
      break;
    case Kind::Reload:
      lives_.reload(source, record.column);
      break;
    case Kind::MoreWorkers:
      lives_.more_workers(source, record.column);
      break;
    case Kind::FailedRequest:
      about = on_failed_request(record, mark);
      break;
    case Kind::BootException:
    case Kind::BootFailed:
    case Kind::BadClass:
    case Kind::BadConfig:
    case Kind::AppStartFailed:
      on_boot_trouble(record, mark, lane);
      break;
    case Kind::None:
    case Kind::Listening:
      break;
    default:
      if (!on_worker_end(record, mark)) on_worker_words(record, mark);
  }
  const bool starts_traceback = record.kind == Kind::FailedRequest ||
                                record.kind == Kind::BootException ||
                                record.kind == Kind::BadClass || record.kind == Kind::BadConfig;
  if (!starts_traceback) return;
  if (about == kNobody && record.pid >= 0)
    if (const Life* life = lives_.find(source, record.pid)) about = life->id;
  const std::uint64_t told = record.kind == Kind::FailedRequest ? told_before(about, record) : 0;
  lane.context = Context{record.kind, about, mark, hash, false, false, told};
}

void Reading::on_timeout(const Record& record, const Mark& mark) {
  Life& life = lives_.of_arbiter_record(source_, record.pid, record.column, mark);
  victims_.note_worker(record.pid);
  if (life.timeout) return;
  note_cause(life, record, mark);
  const std::string_view cause = record.own.meaning == nullptr ? "" : record.own.meaning->cause;
  life.cause_told = !cause.empty() && cause != "unknown";
  life.slow_boot_told |= cause == "boot.slow";
  note_path(life, record.own.path);
  lives_.note_end(life);
  life.timeout = mark;
  if (some_timeouts_.size() < kProofLinesMax) some_timeouts_.push_back(mark);
  note_mass(life.run, mark);
  const Ended ended{source_, life.id, mark};
  for (const Request& request : h12s_) match_h12(request, ended);
  timeouts_.push_back(ended);
  if (timeouts_.size() > kRecentMax) timeouts_.pop_front();
}

void Reading::note_mass(std::uint32_t run, const Mark& mark) {
  constexpr double kTogetherSeconds = 2;
  constexpr std::size_t kTogether = 3;
  std::deque<Mark>& recent = mass_[run];
  const auto within = [&](const Mark& earlier) {
    const auto apart = seconds_between(earlier.when, mark.when);
    return apart && std::abs(*apart) <= kTogetherSeconds;
  };
  while (!recent.empty() && !within(recent.front())) recent.pop_front();
  recent.push_back(mark);
  if (recent.size() > kRecentMax) recent.pop_front();
  if (recent.size() < kTogether) return;
  std::uint64_t& said = mass_said_[run];
  for (const Mark& one : recent) {
    if (one.line <= said) continue;
    findings_.add("mass_timeout", {one}).certain = false;
    said = one.line;
  }
}

bool Reading::on_worker_end(const Record& record, const Mark& mark) {
  if (record.kind != Kind::Killed && record.kind != Kind::Signalled && record.kind != Kind::Exited)
    return false;
  Life& life = lives_.of_arbiter_record(source_, record.pid, record.column, mark);
  victims_.note_worker(record.pid);
  lives_.note_end(life);
  life.own_told |= record.own_kill;
  life.oom_denied |= record.oom_denied;
  if (record.kind == Kind::Killed) {
    life.own_after_timeout_told |= record.after_timeout;
    if (!life.killed) {
      life.killed = mark;
      life.kill_stop_line = lives_.run(life.run).stop.line;
    }
    if (record.kernel_oom && !life.kernel_oom_told) {
      life.kernel_oom_told = true;
      report_.facts.memory_evidence = true;
      victims_.note_told(record.pid, mark);
    }
    if (!life.timeout && life.kill_stop_line == 0) {
      const auto dyno = dynos_.find(source_);
      if (dyno != dynos_.end() && dyno->second.r15 && !dyno->second.stopping) {
        ++platform_oom_kills_;
        oom_proof_.push_back(dyno->second.r15);
        oom_proof_.push_back(mark);
        dyno->second.r15 = Mark{};
      }
    }
  } else if (record.kind == Kind::Exited) {
    if (!life.exited && !record.trouble.empty())
      findings_.add(std::string(kOwnId) + std::string(record.trouble), {mark});
    if (!life.exited) life.exited = mark;
    life.exit_code = record.number;
    // 3: a worker failed to boot; 4: the application failed to load. Source: gunicorn/arbiter.py
    if (record.number == 3 || record.number == 4) fail_boot(life.id, mark, "");
  } else if (record.number == 6) {
    if (!life.abort) life.abort = mark;
  } else {
    if (!life.signalled) life.signalled = mark;
    life.signal = record.number;
  }
  return true;
}

void Reading::note_path(Life& life, std::string_view path) {
  if (path.empty() || path.size() > kPathBytesMax || life.paths.size() >= kPathsOfLifeMax) return;
  if (std::find(life.paths.begin(), life.paths.end(), path) == life.paths.end())
    life.paths.emplace_back(path);
}

LifeId Reading::on_failed_request(const Record& record, const Mark& mark) {
  Life* life = nullptr;
  if (record.pid >= 0) {
    life = &lives_.of_worker_record(source_, record.pid, mark);
    victims_.note_worker(record.pid);
  } else {
    // The pid is lost: it is the last time-out's worker if that has no request yet.
    for (auto ended = timeouts_.rbegin(); ended != timeouts_.rend() && life == nullptr; ++ended) {
      if (ended->source != source_) continue;
      life = lives_.by_id(ended->life);
      if (life == nullptr || life->request) return kNobody;
    }
  }
  if (life == nullptr) return kNobody;
  if (!life->request) life->request = mark;
  life->no_uri |= record.no_uri;
  // One that was ended alone says nothing of the worker's own time-out.
  if (const auto told = told_.find(life->id);
      !life->timeout && told != told_.end() && told->second.path == record.path)
    return life->id;
  note_path(*life, record.path);
  return life->id;
}

void Reading::on_boot_trouble(const Record& record, const Mark& mark, Lane& lane) {
  LifeId about = kNobody;
  if (record.pid >= 0)
    if (Life* life = lives_.find(source_, record.pid)) {
      life->boot_failed = true;
      about = life->id;
    }
  std::string exception;
  // uvicorn prints the traceback first.
  constexpr std::uint64_t kLinesBefore = 10;
  if (record.kind == Kind::AppStartFailed && lane.last_exception_line + kLinesBefore >= mark.line)
    exception = lane.last_exception;
  fail_boot(about, mark, exception);
}

void Reading::on_worker_words(const Record& record, const Mark& mark) {
  if (record.kind == Kind::AppStarted && record.pid < 0) {
    const auto last = server_process_.find(source_);
    Life* life = last == server_process_.end() ? nullptr : lives_.by_id(last->second);
    if (life != nullptr && !life->ended())
      life->started = true;
    else
      lives_.serve(source_);
    return;
  }
  if (record.pid < 0 || lives_.run(lives_.run_of_arbiter(source_, -1)).arbiter == record.pid)
    return;
  if (record.kind == Kind::ServerProcess) {
    const Life& life = lives_.of_worker_record(source_, record.pid, mark);
    server_process_[source_] = life.id;
    victims_.note_worker(record.pid);
    return;
  }
  if (record.kind == Kind::Leaving) {
    Life& life = lives_.of_worker_record(source_, record.pid, mark);
    victims_.note_worker(record.pid);
    lives_.note_end(life);
    if (!life.leaving) life.leaving = mark;
    return;
  }
  Life* life = lives_.find(source_, record.pid);
  if (life == nullptr) return;
  if (record.kind == Kind::AppStarted) life->started = true;
  if (record.kind == Kind::Autorestart) life->autorestart = true;
}

}  // namespace tricorn::control::doctor
