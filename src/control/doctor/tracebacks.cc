// Tracebacks and the records they belong to.
#include <algorithm>
#include <utility>

#include "control/doctor/reading.h"
#include "control/doctor/text.h"
#include "control/doctor/wait.h"

namespace tricorn::control::doctor {
namespace {

// A dump this many lines behind its time-out is another's.
constexpr std::uint64_t kDumpLinesAfter = 500;

}  // namespace

void Reading::read_traceback(std::string_view text, const Hits& hits, bool foreign, Lane& lane,
                             bool& part) {
  const bool was_open = lane.traceback.open();
  // A chained traceback belongs to the same record.
  if (hits.has(Word::ChainedDuring) || hits.has(Word::ChainedCause)) {
    if (!was_open && lane.context.kind == Kind::None) lane.context = lane.bound;
    lane.context.used = false;
    lane.chained = true;
    part = true;
  }
  part |= lane.traceback.read(text, hits, number_, foreign);
  if (!was_open && lane.traceback.open() && !hits.has(Word::Traceback) && !lane.context.used) {
    lane.bound = lane.context;  // it lacks its first line
    lane.context.used = true;
  }
  const Context finished_context = lane.bound;
  if (hits.has(Word::Traceback) && part) {
    const auto cut = lane.traceback.take_finished();
    if (cut) on_traceback(*cut, finished_context, lane);
    if (!lane.context.used || !was_open) {
      lane.bound = lane.context.used ? Context{} : lane.context;
      lane.context.used = true;
    }
  }
  lane.foreign = part ? 0 : lane.foreign + 1;
  if (lane.traceback.open() && lane.foreign > kForeignLinesMax) lane.traceback.cut();
  if (const auto traceback = lane.traceback.take_finished()) {
    quote(traceback->last, text);
    on_traceback(*traceback, lane.bound, lane);
  }
  if (was_open != lane.traceback.open()) open_lanes_ += lane.traceback.open() ? 1UL : ~0UL;
}

void Reading::on_traceback(const Traceback& traceback, const Context& context, Lane& lane) {
  const std::string previous = std::exchange(lane.last_exception, traceback.exception);
  lane.last_exception_line = traceback.last;
  const bool chained = std::exchange(lane.chained, false);
  if (context.copy) return;
  const bool request = context.kind == Kind::FailedRequest;
  const bool boot = context.kind == Kind::BootException || context.kind == Kind::BadClass ||
                    context.kind == Kind::BadConfig;
  if (context.told != 0) return on_told_stack(traceback, context);
  if (is_abort(traceback) && !boot) return on_abort(traceback, context);
  if (boot || chained || (!request && is_loading(traceback))) {
    // Of a chain the last exception counts.
    if (chained && !previous.empty() && !boot_failures_.empty() &&
        boot_failures_.back().exception == previous)
      boot_failures_.pop_back();
    else if (chained && !boot && !is_loading(traceback))
      return;
    const Mark last{traceback.last, context.kind == Kind::None ? here_.when : context.mark.when};
    fail_boot(context.life, last, traceback.exception);
  }
}

void Reading::on_abort(const Traceback& whole, const Context& context) {
  Traceback traceback = whole;
  // What a hook does after the signal is no part of the request.
  const auto handler =
      std::find_if(traceback.frames.begin(), traceback.frames.end(),
                   [](const Frame& frame) { return frame.function == "handle_abort"; });
  traceback.frames.erase(handler, traceback.frames.end());
  if (traceback.frames.empty()) return;
  if (places_told_.empty()) report_.facts.stack_line = stack_line(traceback);
  const LifeId key = context.life == kNobody ? ~traceback.first : context.life;
  if (!places_told_.insert(key).second) return;
  if (places_told_.size() > kLivesMax) places_told_.erase(places_told_.begin());
  if (!is_gunicorn_reading(traceback)) add_place(traceback, context.mark);
}

// What the aborted request waited in, or that it computed; false when its stack does not tell.
bool Reading::add_place(const Traceback& traceback, const Mark& record) {
  const Frame& innermost = traceback.frames.back();
  quote(innermost.number, innermost.file + ": " + innermost.source);
  const Mark place{innermost.number, record.when};
  if (is_cpu_bound(traceback)) {
    Finding& finding = findings_.add("cpu_bound", {record, place});
    finding.certain = false;
    if (finding.detail.empty()) finding.detail = stack_line(traceback);
    return true;
  }
  const std::string_view wait = blocked_in(traceback);
  if (wait.empty()) return false;
  Finding& finding = findings_.add("blocked_in:" + std::string(wait), {record, place});
  if (finding.detail.empty()) finding.detail = stack_line(traceback);
  if (wait == "http_client" || wait == "smtp" || wait == "database" || wait == "redis")
    findings_.add("slow_upstream", {record, place});
  return true;
}

bool Reading::read_dump(std::string_view text, const Hits& hits, Lane& lane) {
  const bool was_open = lane.dump.open();
  const bool part = lane.dump.read(text, hits, number_);
  if (const auto stack = lane.dump.take_finished()) on_dump(*stack);
  if (was_open != lane.dump.open()) open_lanes_ += lane.dump.open() ? 1UL : ~0UL;
  return part;
}

// A dump names no process. It is of a worker that timed out and left nothing else.
void Reading::on_dump(const Traceback& traceback) {
  for (const Ended& ended : timeouts_) {
    Life* life = ended.source == source_ ? lives_.by_id(ended.life) : nullptr;
    if (life == nullptr || life->request || life->cause_told || life->dumped) continue;
    if (traceback.first - ended.mark.line > kDumpLinesAfter) continue;
    life->dumped = true;
    life->cause_told = add_place(traceback, ended.mark);
    return;
  }
}

void Reading::fail_boot(LifeId life, const Mark& mark, std::string_view exception) {
  if (exception == "HaltServer" || exception == "SystemExit") exception = "";
  if (Life* of = lives_.by_id(life)) of->boot_failed = true;
  if (boot_failures_.size() >= kBootFailuresMax) return;
  const std::uint32_t run = lives_.run_of_arbiter(source_, -1);
  boot_failures_.push_back({source_, run, life, mark, std::string(exception)});
}

}  // namespace tricorn::control::doctor
