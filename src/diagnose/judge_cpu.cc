#include <fmt/format.h>

#include <algorithm>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

/// Part of the looks from which a state counts as lasting. Source: diagnosis.md section 5,
/// gc.pause: 2 of 3.
constexpr double kMostLooks = 0.6;

/// Neighbours on the CPU are told of from the share on where they cost half of the speed.
constexpr double kSharedCpu = 0.5;

std::string ran(const Facts& facts) {
  if (facts.delay < kSharedCpu) return fmt::format("ran {:.1f} s", facts.ran_s);
  return fmt::format("ran {:.1f} s, with {:.0f}% of a CPU beside other processes,", facts.ran_s,
                     facts.cpu * 100);
}

std::string innermost_function(const Facts& facts) {
  return facts.stack().empty() ? ""
                               : fmt::format(" called from {}", facts.stack().front().function);
}

/// Whether the last looks that had it on a CPU in between, far apart, all met the same bytecode. Of
/// a loop of eight, one in some thousands of time-outs would look like that.
bool stood_still(const Evidence& evidence) {
  constexpr int kPairsMin = 4;
  constexpr std::int64_t kRanNs = 10'000'000;  // a tick of the kernel's
  int pairs = 0;
  const ThreadLook* after = nullptr;
  for (const auto* looks : {&evidence.looks, &evidence.samples}) {
    for (auto look = looks->rbegin(); look != looks->rend() && pairs < kPairsMin; ++look) {
      const ThreadLook* now = serving(*look);
      if (now == nullptr || (after != nullptr && now->instruction != after->instruction))
        return false;
      if (after == nullptr || after->cpu_ns - now->cpu_ns >= kRanNs) {
        pairs += after == nullptr ? 0 : 1;
        after = now;
      }
    }
  }
  return pairs >= kPairsMin;
}

/// Code that stands still while it has no CPU can be of any kind.
bool seen_running(const Evidence& evidence) {
  return evidence.quick.empty() || looks_while_running(evidence) >= kRunningLooks ||
         stood_still(evidence);
}

std::optional<Verdict> not_seen_running(const Facts& facts) {
  const auto& quick = facts.evidence.quick;
  const auto ready = [](const ThreadLook& look) { return look.state == 'R'; };
  if (!std::all_of(quick.begin(), quick.end(), ready)) return std::nullopt;
  return verdict_of(Cause::CpuStarved, Confidence::Likely,
                    fmt::format("{} and had no CPU in most of the {} looks that were to tell "
                                "what it computes: other processes had it",
                                ran(facts), quick.size()));
}

/// Whose machine code that is, when the samples agree: "C code of libz.so.1.2.13".
std::string code_text(const Facts& facts) {
  constexpr unsigned kSamplesMin = 3;
  const auto& native = facts.evidence.native;
  const bool agree = native && native->samples >= kSamplesMin && !native->module.empty() &&
                     native->in_module * 2 > native->samples;
  return agree ? "C code of " + native->module : "C code";
}

Verdict native(const Facts& facts) {
  if (facts.gil_share >= kMostLooks) {
    return verdict_of(Cause::CpuNativeGil, Confidence::Likely,
                      fmt::format("{} in {} that holds the GIL{}", ran(facts), code_text(facts),
                                  innermost_function(facts)));
  }
  return verdict_of(Cause::CpuNativeNogil, Confidence::Likely,
                    fmt::format("{} in {} that has let the GIL go{}", ran(facts), code_text(facts),
                                innermost_function(facts)));
}

/// A loop of calls into C moves on as Python code does, but computes without the GIL: Python code
/// cannot.
Verdict line_by_line(const Facts& facts) {
  constexpr double kSomeLooks = 0.25;
  if (facts.free_share >= kMostLooks) {
    return verdict_of(Cause::CpuNativeNogil, Confidence::Likely,
                      fmt::format("{} mostly in {} that has let the GIL go ({:.0f}% of the looks), "
                                  "called again and again",
                                  ran(facts), code_text(facts), facts.free_share * 100));
  }
  const std::string mixed =
      facts.free_share < kSomeLooks
          ? ""
          : fmt::format(", and in C code that has let the GIL go ({:.0f}% of the looks)",
                        facts.free_share * 100);
  return verdict_of(Cause::CpuPython, Confidence::Likely,
                    ran(facts) + " in Python code, line by line" + mixed);
}

}  // namespace

std::optional<Verdict> judge_cpu(const Facts& facts) {
  constexpr std::size_t kLooksMin = 2;
  if (!facts.busy() || facts.evidence.looks.size() < kLooksMin) return std::nullopt;
  if (!facts.last->python_readable || facts.stack().empty()) return std::nullopt;
  // The collector runs between lines and inside C code alike: its own flag tells it apart.
  if (facts.gc_share >= kMostLooks) {
    return verdict_of(Cause::GcPause, Confidence::Likely,
                      ran(facts) + " in Python's garbage collector");
  }
  if (facts.moved) return line_by_line(facts);
  if (facts.spins) {
    return verdict_of(Cause::CpuPython, Confidence::Likely,
                      ran(facts) + " in Python code, a loop without a body");
  }
  return seen_running(facts.evidence) ? native(facts) : not_seen_running(facts);
}

}  // namespace tricorn::diagnose
