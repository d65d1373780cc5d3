// What Tricorn's lines say of causes. A traceback that follows may know more of a wait than the
// class does, so that a time-out's finding waits for it.
#include "control/doctor/reading.h"
#include "control/doctor/text.h"
#include "control/doctor/wait.h"

namespace tricorn::control::doctor {
namespace {

bool is_upstream(std::string_view wait) {
  return wait == "http_client" || wait == "smtp" || wait == "database" || wait == "redis";
}

}  // namespace

Finding& Reading::add_cause(const Meaning& meaning, std::string_view id, const Mark& mark,
                            const std::string& detail) {
  Finding& finding = findings_.add(id, {mark});
  ++finding.causes[std::string(meaning.cause)];
  if (finding.detail.empty()) finding.detail = detail;
  if (id == "cpu_bound") finding.certain = false;  // doctor-format.md, section 5
  if (id == "memory_pressure") report_.facts.memory_evidence = true;
  return finding;
}

// The worker lives, so that what happens to it later is no consequence of this.
void Reading::on_request_timeout(const Record& record, const Mark& mark) {
  Life& life = lives_.of_arbiter_record(source_, record.pid, record.column, mark);
  victims_.note_worker(record.pid);
  Facts& facts = report_.facts;
  ++facts.request_timeouts;
  note_cause(life, record, mark);
  if (record.own.path.empty()) return;
  const std::string path(record.own.path);
  if (facts.paths.size() < kPathsMax) facts.paths.insert(path);
  Finding& finding = findings_.add("timeout_too_short_for_path", {mark});
  if (finding.paths.size() < kPathsMax) ++finding.paths[path];
}

void Reading::note_cause(const Life& life, const Record& record, const Mark& mark) {
  const Meaning* meaning = record.own.meaning;
  if (meaning == nullptr) return;
  settle(life.id, nullptr);
  if (told_.size() == kToldMax) settle(told_.begin()->first, nullptr);
  told_[life.id] = {meaning, mark, std::string(record.own.path),
                    printable_part(record.own.detail, kQuoteBytesMax), false};
}

// The arbiter's word about the request follows its word about the time-out.
// @return the line of that; 0 when it is another request's
std::uint64_t Reading::told_before(LifeId life, const Record& record) {
  const auto told = told_.find(life);
  if (told == told_.end() || told->second.request_seen || told->second.path != record.path)
    return 0;
  told->second.request_seen = true;
  return told->second.mark.line;
}

// No exception ends it, so that it would go on for as long as its lane has nothing else to say.
void Reading::end_told_stack(Lane& lane) {
  if (lane.bound.told == 0 || !lane.traceback.open()) return;
  lane.traceback.cut();
  --open_lanes_;
  if (const auto traceback = lane.traceback.take_finished())
    on_traceback(*traceback, lane.bound, lane);
}

void Reading::on_told_stack(const Traceback& traceback, const Context& context) {
  if (report_.facts.stack_line.empty()) report_.facts.stack_line = stack_line(traceback);
  const auto told = told_.find(context.life);
  if (told != told_.end() && told->second.mark.line == context.told)
    settle(context.life, &traceback);
}

void Reading::settle(LifeId life, const Traceback* traceback) {
  const auto found = told_.find(life);
  if (found == told_.end()) return;
  const Told told = std::move(found->second);
  told_.erase(found);
  std::string id(told.meaning->id);
  if (id.empty()) return;
  const std::string_view wait =
      traceback != nullptr && told.meaning->coarse ? blocked_in(*traceback) : std::string_view{};
  if (!wait.empty()) id = "blocked_in:" + std::string(wait);
  Finding& finding = add_cause(*told.meaning, id, told.mark, told.detail);
  const bool place = traceback != nullptr && !traceback->frames.empty();
  const Mark where = place ? Mark{traceback->frames.back().number, told.mark.when} : Mark{};
  if (place) {
    const Frame& innermost = traceback->frames.back();
    quote(innermost.number, innermost.file + ": " + innermost.source);
    finding.prove(where);
  }
  if (id.starts_with("blocked_in:") && is_upstream(id.substr(id.find(':') + 1)))
    findings_.add("slow_upstream", {told.mark, where});
}

// Nothing was ended by these, but for the clients that were too slow.
void Reading::on_told(const Record& record, const Mark& mark) {
  Life* life = nullptr;
  if (record.pid >= 0) {
    life = &lives_.of_arbiter_record(source_, record.pid, record.column, mark);
    victims_.note_worker(record.pid);
  }
  const Meaning* meaning = record.own.meaning;
  if (meaning == nullptr) {
    Finding& finding = findings_.add(std::string(kOwnId) + std::string(record.trouble), {mark});
    if (!record.path.empty() && finding.paths.size() < kPathsMax)
      ++finding.paths[std::string(record.path)];
    return;
  }
  const std::string detail = printable_part(record.own.detail, kQuoteBytesMax);
  if (record.kind == Kind::SlowRequest) {
    Finding& finding = add_cause(*meaning, std::string(kOwnId) + "slow_request", mark, detail);
    if (!record.own.path.empty() && finding.paths.size() < kPathsMax)
      ++finding.paths[std::string(record.own.path)];
    return;
  }
  if (meaning->cause.starts_with("client.")) {
    ++report_.facts.clients_cut;
    return;
  }
  if (life != nullptr && meaning->cause == "boot.slow") life->slow_boot_told = true;
  // What names the exception MemoryError was counted where that is looked for.
  const bool counted = meaning->cause == "memory.limit" && contains(record.message, "MemoryError");
  if (!counted && !meaning->id.empty()) add_cause(*meaning, meaning->id, mark, detail);
}

}  // namespace tricorn::control::doctor
