#include "control/doctor/lives.h"

#include <algorithm>

namespace tricorn::control::doctor {
namespace {

// Runs of one source searched by their arbiter's pid.
constexpr std::size_t kRunsSearched = 8;
// Lives let go at a time.
constexpr std::size_t kLetGo = kLivesMax / 4;

}  // namespace

std::uint32_t Lives::source(std::string_view name) {
  const auto found = names_.find(name);
  if (found != names_.end()) return found->second;
  if (sources_.size() == kSourcesMax) return kSourcesMax - 1;
  const auto index = static_cast<std::uint32_t>(sources_.size());
  sources_.emplace_back().name = name;
  names_.emplace(name, index);
  return index;
}

std::uint32_t Lives::new_run(std::uint32_t source) {
  if (runs_.size() == kRunsMax) return sources_[source].has_run ? sources_[source].run : 0;
  const auto index = static_cast<std::uint32_t>(runs_.size());
  runs_.emplace_back().source = source;
  Source& of = sources_[source];
  if (of.has_run && !runs_[of.run].slots.empty()) runs_[index].old_slots = runs_[of.run].slots;
  of.run = index;
  of.has_run = true;
  if (of.runs.size() == kRunsSearched) of.runs.erase(of.runs.begin());
  of.runs.push_back(index);
  return index;
}

std::uint32_t Lives::current_run(std::uint32_t source) {
  return sources_[source].has_run ? sources_[source].run : new_run(source);
}

void Lives::start(std::uint32_t source, std::int64_t arbiter, std::uint64_t line) {
  Run& run = runs_[new_run(source)];
  run.arbiter = arbiter;
  run.start_line = line;
}

std::uint32_t Lives::run_of_arbiter(std::uint32_t source, std::int64_t arbiter) {
  const std::uint32_t current = current_run(source);
  if (arbiter < 0) return current;
  const Source& of = sources_[source];
  for (auto index = of.runs.rbegin(); index != of.runs.rend(); ++index)
    if (runs_[*index].arbiter == arbiter) return *index;
  if (runs_[current].arbiter >= 0) {
    const std::uint32_t made = new_run(source);
    runs_[made].arbiter = arbiter;
    return made;
  }
  runs_[current].arbiter = arbiter;
  return current;
}

bool Lives::is_arbiter(std::uint32_t source, std::int64_t pid) const {
  const Source& of = sources_[source];
  return std::any_of(of.runs.begin(), of.runs.end(),
                     [&](std::uint32_t index) { return runs_[index].arbiter == pid; });
}

Life& Lives::make(std::uint32_t source, std::uint32_t run, std::int64_t pid, const Mark& mark) {
  if (lives_.size() >= kLivesMax) let_go();
  const LifeId id = next_++;
  Life& life = lives_[id];
  life.id = id;
  life.source = source;
  life.run = run;
  life.pid = pid;
  life.first_line = mark.line;
  life.service_at_boot = sources_[source].service;
  sources_[source].by_pid[pid] = id;
  return life;
}

Life* Lives::by_id(LifeId id) {
  const auto found = lives_.find(id);
  return found == lives_.end() ? nullptr : &found->second;
}

Life* Lives::find(std::uint32_t source, std::int64_t pid) {
  const auto found = sources_[source].by_pid.find(pid);
  return found == sources_[source].by_pid.end() ? nullptr : by_id(found->second);
}

LifeId Lives::move(std::uint64_t first_line, std::uint32_t from, std::uint32_t to) {
  for (auto& [id, life] : lives_) {
    if (life.first_line != first_line || life.source != from) continue;
    sources_[from].by_pid.erase(life.pid);
    std::erase(runs_[life.run].slots, id);
    life.source = to;
    life.run = current_run(to);
    life.run_certain = false;
    life.service_at_boot = sources_[to].service;
    sources_[to].by_pid[life.pid] = id;
    if (life.boot) {
      take_slot(life, runs_[life.run], life.boot);
      ++runs_[life.run].boots;
    }
    return id;
  }
  return kNobody;
}

Life& Lives::of_arbiter_record(std::uint32_t source, std::int64_t pid, std::int64_t arbiter,
                               Mark mark) {
  const std::uint32_t run = run_of_arbiter(source, arbiter);
  runs_[run].just_booted = false;
  Life* life = find(source, pid);
  if (life == nullptr) {
    life = &make(source, run, pid, mark);
  } else if (life->run != run) {
    // Boots are put to the run that began last; the arbiter's own word is better.
    const bool started_between = runs_[run].start_line > life->first_line;
    if (started_between || life->run_certain)
      life = &make(source, run, pid, mark);
    else
      life->run = run;
  }
  life->run_certain = arbiter >= 0;
  return *life;
}

Life& Lives::of_worker_record(std::uint32_t source, std::int64_t pid, Mark mark) {
  const std::uint32_t run = current_run(source);
  runs_[run].just_booted = false;
  Life* life = find(source, pid);
  // The last words of a worker may come after the next arbiter's first.
  if (life == nullptr || (life->run != run && life->leaving)) return make(source, run, pid, mark);
  return *life;
}

std::pair<Life*, bool> Lives::boot(std::uint32_t source, std::int64_t pid, std::int64_t column,
                                   Mark mark) {
  const std::uint32_t index =
      column >= 0 && column != pid ? run_of_arbiter(source, column) : current_run(source);
  Life* life = find(source, pid);
  const bool started_between = life != nullptr && runs_[index].start_line > life->first_line;
  const bool known = life != nullptr && !life->ended() && !started_between;
  if (known && life->boot) {
    const auto apart = seconds_between(life->boot.when, mark.when);
    return {life, !apart || *apart == 0};
  }
  if (!known) life = &make(source, index, pid, mark);
  life->boot = mark;
  Run& run = runs_[index];
  take_slot(*life, run, mark);
  ++run.boots;
  run.just_booted = true;
  return {life, false};
}

void Lives::replace(Life& life, LifeId& slot, const Mark& mark) {
  if (Life* old = by_id(slot); old != nullptr && !old->replaced) {
    note_end(*old);
    old->replaced = mark;
  }
  life.previous = slot;
  slot = life.id;
}

void Lives::take_slot(Life& life, Run& run, const Mark& mark) {
  const auto ended = std::find_if(run.slots.begin(), run.slots.end(), [&](LifeId id) {
    const Life* old = by_id(id);
    return old == nullptr || old->ended() || old->autorestart;
  });
  if (ended != run.slots.end()) return replace(life, *ended, mark);
  if (!run.first_boot) run.first_boot = mark;
  const auto since_first = seconds_between(run.first_boot.when, mark.when);
  // Dozens of workers take more than two seconds to fork; a loop is never so quick.
  constexpr double kForksPerSecond = 4;
  const double first_boots =
      std::max(kFirstBootsSeconds, static_cast<double>(run.boots) / kForksPerSecond);
  const bool first =
      run.boots == 0 || (since_first ? *since_first <= first_boots : run.just_booted);
  if (first && run.slots.size() < run.old_slots.size()) {
    // A new arbiter's worker ends whoever had its place; that is no death in silence.
    if (Life* old = by_id(run.old_slots[run.slots.size()]);
        old != nullptr && !old->ended() && !old->replaced) {
      note_end(*old);
      old->replaced = mark;
    }
  }
  if (first || run.extra_slots > 0 || run.unseen_ends > 0 || run.slots.empty()) {
    if (!first && run.extra_slots > 0)
      --run.extra_slots;
    else if (!first && run.unseen_ends > 0)
      --run.unseen_ends;
    run.slots.push_back(life.id);
    return;
  }
  // Nobody's end was told: the one that has been there longest.
  replace(life, *std::min_element(run.slots.begin(), run.slots.end()), mark);
}

void Lives::note_end(Life& life) {
  if (life.ended() || life.replaced) return;
  life.service_at_end = sources_[life.source].service;
  Run& run = runs_[life.run];
  life.stop_line = run.stop.line;
  if (!life.boot) ++run.unseen_ends;
}

bool Lives::served(const Life& life) const {
  const std::uint64_t end =
      life.ended() || life.replaced ? life.service_at_end : sources_[life.source].service;
  return end > life.service_at_boot;
}

void Lives::stop(std::uint32_t source, std::int64_t arbiter, Mark mark) {
  runs_[run_of_arbiter(source, arbiter)].stop = mark;
}

void Lives::reload(std::uint32_t source, std::int64_t arbiter) {
  Run& run = runs_[run_of_arbiter(source, arbiter)];
  for (const LifeId id : run.slots)
    if (Life* life = by_id(id); life != nullptr && !life->ended()) life->reload = true;
  run.slots.clear();
  run.old_slots.clear();
  run.first_boot = Mark{};
  run.boots = 0;
}

void Lives::more_workers(std::uint32_t source, std::int64_t arbiter) {
  ++runs_[run_of_arbiter(source, arbiter)].extra_slots;
}

void Lives::let_go() {
  for (std::size_t count = 0; count < kLetGo && !lives_.empty(); ++count) {
    const auto oldest = lives_.begin();
    Life& life = oldest->second;
    judge_(self_, life);
    auto& by_pid = sources_[life.source].by_pid;
    if (const auto found = by_pid.find(life.pid); found != by_pid.end() && found->second == life.id)
      by_pid.erase(found);
    lives_.erase(oldest);
  }
}

void Lives::finish() {
  for (auto& [id, life] : lives_) judge_(self_, life);
}

}  // namespace tricorn::control::doctor
