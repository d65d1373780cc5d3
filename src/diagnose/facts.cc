#include "diagnose/facts.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tricorn::diagnose {
namespace {

/// Shares over less than this are noise: the kernel's own clock ticks each 1 to 10 ms.
constexpr std::int64_t kWindowMinNs = 200'000'000;

Call call_in(const ThreadLook& thread) { return call_of(thread.syscall, thread.args[1]); }

/// Sleeping in the kernel; without a readable syscall file the state alone tells.
bool sleeps(const ThreadLook& thread) {
  return thread.state == 'S' || thread.state == 'D' || thread.state == 'T';
}

/// The look the others are measured from: the first of the last ones, or a sample if those are too
/// close.
const ProcessLook* baseline(const Evidence& evidence) {
  if (evidence.looks.empty()) return nullptr;
  const ProcessLook* first = &evidence.looks.front();
  const std::int64_t end = evidence.looks.back().at_ns;
  if (end - first->at_ns >= kWindowMinNs) return first;
  for (auto sample = evidence.samples.rbegin(); sample != evidence.samples.rend(); ++sample) {
    if (end - sample->at_ns >= kWindowMinNs) return &*sample;
  }
  return first;
}

/// The latest look whose serving thread does what it does in most looks.
const ProcessLook* typical(const std::vector<ProcessLook>& looks) {
  std::map<std::pair<bool, Call>, int> seen;
  const ProcessLook* best = nullptr;
  int most = 0;
  for (const ProcessLook& look : looks) {
    if (const ThreadLook* thread = serving(look)) {
      const int count = ++seen[{sleeps(*thread), call_in(*thread)}];
      if (count >= most) {
        best = &look;
        most = count;
      }
    }
  }
  return best;
}

template <class Holds>
double share_of(const std::vector<ProcessLook>& looks, Holds holds) {
  if (looks.empty()) return 0;
  return static_cast<double>(std::count_if(looks.begin(), looks.end(), holds)) /
         static_cast<double>(looks.size());
}

double rate(std::int64_t before, std::int64_t after, double seconds) {
  if (before < 0 || after < 0 || after < before || seconds <= 0) return -1;
  return static_cast<double>(after - before) / seconds;
}

double throttled_share(const std::vector<ProcessLook>& looks) {
  const CgroupCounters& first = looks.front().cgroup;
  const CgroupCounters& last = looks.back().cgroup;
  if (!first.throttled || !last.throttled || !first.periods || !last.periods) return -1;
  if (*last.periods <= *first.periods || *last.throttled < *first.throttled) return -1;
  return static_cast<double>(*last.throttled - *first.throttled) /
         static_cast<double>(*last.periods - *first.periods);
}

/// Asleep in a page fault, or held up on the way to more memory. Source: Linux mm/filemap.c,
/// mm/memcontrol.c
bool waits_for_page(const ThreadLook& thread) {
  const bool fault = thread.state == 'D' && thread.syscall < 0 &&
                     (thread.wchan.starts_with("folio_wait") || thread.wchan == "io_schedule" ||
                      thread.wchan.starts_with("wait_on_page"));
  return fault || thread.wchan.starts_with("mem_cgroup_") ||
         thread.wchan.starts_with("try_charge") || thread.wchan.starts_with("try_to_free");
}

double stall_share(const std::vector<ProcessLook>& looks, const ProcessLook& first) {
  const auto before = first.cgroup.memory_stall_us;
  const auto after = looks.back().cgroup.memory_stall_us;
  const std::int64_t time_us = (looks.back().at_ns - first.at_ns) / 1000;
  if (!before || !after || *after < *before || time_us <= 0) return -1;
  return static_cast<double>(*after - *before) / static_cast<double>(time_us);
}

bool other_place(const ThreadLook& left, const ThreadLook& right) {
  return left.instruction != right.instruction || left.stack != right.stack;
}

/// Whether the bytecode goes on and on. Some changes between looks do not show that: a call into C
/// may have ended and the next have begun, as in `compress(read())` or `while True: sort()`.
bool moves_on(const Evidence& evidence) {
  constexpr int kChangesMin = 2;
  int changes = 0;
  int pairs = 0;
  const ThreadLook* before = nullptr;
  for (const ProcessLook& look : evidence.looks) {
    const ThreadLook* now = serving(look);
    if (now == nullptr) continue;
    if (before != nullptr) {
      ++pairs;
      if (other_place(*before, *now)) ++changes;
    }
    before = now;
  }
  if (before == nullptr) return false;
  if (changes >= kChangesMin && changes * 2 > pairs) return true;
  int quick_changes = 0;
  for (const ThreadLook& now : evidence.quick) {
    if (other_place(*before, now)) ++quick_changes;
    before = &now;
  }
  if (quick_changes >= kChangesMin) return true;
  return changes >= kChangesMin && looks_while_running(evidence) < kRunningLooks;
}

/// `while True: pass` is one bytecode, which jumps to itself. A jump runs nothing else.
bool is_empty_loop(const Evidence& evidence) {
  std::size_t seen = 0;
  std::size_t jumps = 0;
  const auto add = [&](const ThreadLook& look) {
    ++seen;
    if (look.jumps) ++jumps;
  };
  for (const ProcessLook& look : evidence.looks) {
    if (serving(look) != nullptr) add(*serving(look));
  }
  std::for_each(evidence.quick.begin(), evidence.quick.end(), add);
  return jumps * 2 > seen;
}

double share_without_gil(const Evidence& evidence) {
  constexpr int kRunningMin = 5;
  int running = 0;
  int without = 0;
  const auto add = [&](const ThreadLook& look) {
    if (look.state != 'R') return;
    ++running;
    if (!look.has_gil) ++without;
  };
  for (const auto* looks : {&evidence.samples, &evidence.looks}) {
    for (const ProcessLook& look : *looks) {
      if (serving(look) != nullptr && look.python_readable) add(*serving(look));
    }
  }
  std::for_each(evidence.quick.begin(), evidence.quick.end(), add);
  return running < kRunningMin ? -1 : static_cast<double>(without) / running;
}

/// How long the thread has been seen where it is, going back from the last look.
double waited_seconds(const Evidence& evidence, const ProcessLook& last, const ThreadLook& thread) {
  std::int64_t since = last.at_ns;
  const auto still = [&](const ProcessLook& look) {
    const ThreadLook* other = serving(look);
    if (other == nullptr || !same_wait(*other, thread)) return false;
    since = std::min(since, look.at_ns);
    return true;
  };
  const bool whole = std::all_of(evidence.looks.rbegin(), evidence.looks.rend(), still);
  if (whole)
    static_cast<void>(std::all_of(evidence.samples.rbegin(), evidence.samples.rend(), still));
  return static_cast<double>(last.at_ns - since) / 1e9;
}

/// Where most stacks begin: file and function of the outermost frame.
std::pair<std::string, std::string> root_of(const std::vector<const ProcessLook*>& looks) {
  std::map<std::pair<std::string, std::string>, int> seen;
  std::pair<std::string, std::string> root;
  int most = 0;
  for (const ProcessLook* look : looks) {
    const ThreadLook* now = serving(*look);
    if (now == nullptr || now->stack.empty()) continue;
    const PythonFrame& outermost = now->stack.back();
    const int count = ++seen[{outermost.file, outermost.function}];
    if (count <= most) continue;
    most = count;
    root = {outermost.file, outermost.function};
  }
  return root;
}

}  // namespace

const ThreadLook* serving(const ProcessLook& look) {
  return look.threads.empty() ? nullptr : &look.threads.front();
}

std::vector<const ProcessLook*> in_order(const Evidence& evidence) {
  std::vector<const ProcessLook*> all;
  for (const auto* looks : {&evidence.samples, &evidence.looks}) {
    for (const ProcessLook& look : *looks) {
      if (serving(look) != nullptr) all.push_back(&look);
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const ProcessLook* left, const ProcessLook* right) {
    return left->at_ns < right->at_ns;
  });
  return all;
}

Facts::Facts(const Evidence& from) : evidence(from) {
  const ProcessLook* first = baseline(from);
  last = typical(from.looks);
  thread = last == nullptr ? nullptr : serving(*last);
  if (first == nullptr || thread == nullptr || serving(*first) == nullptr) return;
  const ProcessLook& end = from.looks.back();
  const ThreadLook& before = *serving(*first);
  const ThreadLook& after = *serving(end);
  call = call_in(*thread);
  window_s = static_cast<double>(end.at_ns - first->at_ns) / 1e9;
  cpu = rate(before.cpu_ns, after.cpu_ns, window_s * 1e9);
  delay = rate(before.run_delay_ns, after.run_delay_ns, window_s * 1e9);
  note_whole_request();
  faults_per_s = rate(static_cast<std::int64_t>(before.major_faults),
                      static_cast<std::int64_t>(after.major_faults), window_s);
  switches_per_s = rate(before.switches, after.switches, window_s);
  moved = moves_on(from);
  spins = !moved && is_empty_loop(from);
  gil_share = share_of(
      from.looks, [](const ProcessLook& look) { return serving(look) && serving(look)->has_gil; });
  free_share = share_without_gil(from);
  gil_wait_share = share_of(from.looks, [](const ProcessLook& look) {
    return serving(look) && serving(look)->waits_for_gil;
  });
  gc_share = share_of(from.looks, [](const ProcessLook& look) { return look.gc_collecting; });
  throttled = throttled_share(from.looks);
  fault_share = share_of(from.looks, [](const ProcessLook& look) {
    return serving(look) && waits_for_page(*serving(look));
  });
  stall = stall_share(from.looks, from.looks.front());
  const auto refaults_before = from.looks.front().cgroup.refaults;
  const auto refaults_after = end.cgroup.refaults;
  if (refaults_before && refaults_after) {
    refaults_per_s = rate(static_cast<std::int64_t>(*refaults_before),
                          static_cast<std::int64_t>(*refaults_after),
                          static_cast<double>(end.at_ns - from.looks.front().at_ns) / 1e9);
  }
  waited_s = waited_seconds(from, end, *thread);
}

bool same_wait(const ThreadLook& left, const ThreadLook& right) {
  if (call_in(left) != call_in(right)) return false;
  if (left.stack.empty() || right.stack.empty()) return true;
  const PythonFrame* left_place = place_in(left.stack);
  const PythonFrame* right_place = place_in(right.stack);
  if (left_place == nullptr || right_place == nullptr) return left_place == right_place;
  return left.stack.front() == right.stack.front() && *left_place == *right_place;
}

const Stack* stack_seen_most(const std::vector<const ProcessLook*>& looks) {
  const auto root = root_of(looks);
  std::map<std::pair<std::string, int>, int> seen;
  const Stack* best = nullptr;
  int most = 0;
  for (const ProcessLook* look : looks) {
    const ThreadLook* now = serving(*look);
    const PythonFrame* frame = now == nullptr ? nullptr : place_in(now->stack);
    if (frame == nullptr) continue;
    const PythonFrame& outermost = now->stack.back();
    if (outermost.file != root.first || outermost.function != root.second) continue;
    const int count = ++seen[{frame->file, frame->line}];
    if (count < most) continue;
    most = count;
    best = &now->stack;
  }
  return best;
}

// The kernel counts CPU time when a thread leaves the CPU and at its ticks, 1 to 10 ms apart: looks
// between two counts that rise within one time slice were all of a running thread.
std::size_t looks_while_running(const Evidence& evidence) {
  if (evidence.looks.empty() || serving(evidence.looks.back()) == nullptr) return 0;
  const ThreadLook* counted = serving(evidence.looks.back());
  if (counted->cpu_ns < 0) return evidence.quick.size();
  std::size_t looks = 0;
  std::size_t between = 0;
  for (const ThreadLook& now : evidence.quick) {
    ++between;
    if (now.cpu_ns == counted->cpu_ns) continue;
    looks += now.slices == counted->slices ? between : 1;
    between = 0;
    counted = &now;
  }
  return looks;
}

// A boot has no samples: what it did before its last looks is not known, and it is said to have
// run.
void Facts::note_whole_request() {
  const auto& samples = evidence.samples;
  const bool sampled = !samples.empty() && serving(samples.front()) != nullptr;
  const ProcessLook& first = sampled ? samples.front() : evidence.looks.front();
  const ProcessLook& end = evidence.looks.back();
  if (serving(first) == nullptr || serving(end) == nullptr) return;
  const auto time_ns = static_cast<double>(end.at_ns - first.at_ns);
  whole_cpu = rate(serving(first)->cpu_ns, serving(end)->cpu_ns, time_ns);
  ran_s = static_cast<double>(evidence.running_ns) / 1e9;
  if (whole_cpu < 0) return;
  const double ready = rate(serving(first)->run_delay_ns, serving(end)->run_delay_ns, time_ns);
  whole_busy = std::min(1.0, whole_cpu + std::max(ready, 0.0));
  if (sampled) ran_s = whole_busy * time_ns / 1e9;
}

bool Facts::asleep() const {
  if (thread == nullptr || !sleeps(*thread)) return false;
  const double share = share_of(evidence.looks, [&](const ProcessLook& look) {
    return serving(look) != nullptr && sleeps(*serving(look)) && call_in(*serving(look)) == call;
  });
  return share > 0.5 && cpu < kBusyShare;
}

bool Facts::busy() const { return cpu >= 0 && cpu + std::max(delay, 0.0) >= kBusyShare; }

bool Facts::rose(std::optional<std::uint64_t> CgroupCounters::*counter) const {
  std::optional<std::uint64_t> low;
  std::optional<std::uint64_t> high;
  const auto add = [&](const ProcessLook& look) {
    const auto value = look.cgroup.*counter;
    if (!low) low = value;
    if (value) high = value;
  };
  std::for_each(evidence.samples.begin(), evidence.samples.end(), add);
  std::for_each(evidence.looks.begin(), evidence.looks.end(), add);
  return low && high && *high > *low;
}

const Stack& Facts::stack() const {
  static const Stack kNone;
  return thread == nullptr ? kNone : thread->stack;
}

const ThreadLook* Facts::thread_of(std::uint64_t tstate) const {
  if (last == nullptr || tstate == 0) return nullptr;
  const auto found =
      std::find_if(last->threads.begin(), last->threads.end(),
                   [tstate](const ThreadLook& other) { return other.tstate == tstate; });
  return found == last->threads.end() ? nullptr : &*found;
}

const LockWait* Facts::lock_wait_of(std::uint64_t tstate) const {
  const auto& waits = evidence.lock_waits;
  const auto found = std::find_if(waits.begin(), waits.end(), [tstate](const LockWait& wait) {
    return tstate != 0 && wait.waiter == tstate;
  });
  return found == waits.end() ? nullptr : &*found;
}

}  // namespace tricorn::diagnose
