// What happens when a process ends: why, who is told, who is answered, who comes next.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <fstream>
#include <string>

#include "arbiter/arbiter.h"
#include "arbiter/farewell.h"
#include "arbiter/tokens.h"
#include "base/clock.h"
#include "diagnose/report.h"

namespace tricorn::arbiter {
namespace {

using heartbeat::Claim;
using heartbeat::Hold;

constexpr int kBootError = 3;  // Gunicorn's exit statuses of a worker that could not boot
constexpr int kAppLoadError = 4;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kStraysBehind = 256;         // other descriptors an application has open, and more
constexpr unsigned kBackOffDoublings = 5;  // 1 s to 32 s between boots that fail

int wait_status_of(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return info.si_status << 8;
  return info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
}

// Also of one that has ended and was not waited for. Source: proc(5), comm.
std::string name_of_process(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

// The requests a death has ended, oldest first: the one whose thread crashed alone, if one did.
std::vector<std::uint32_t> story_of(const WorkerProcess& worker) {
  const heartbeat::Header& header = worker.page.header();
  // By a signal, or inside os._exit; 0: by neither.
  const pid_t crashed = header.crash.signal.load() != 0 ? header.crash.tid : header.exit_tid.load();
  std::vector<std::uint32_t> running;
  for (std::uint32_t i = 0; i < worker.page.slot_count(); ++i) {
    const heartbeat::Slot& slot = worker.page.slot(i);
    if (!slot.is_serving()) continue;
    if (crashed != 0 && slot.tid.load() == crashed) return {i};
    running.push_back(i);
  }
  std::sort(running.begin(), running.end(), [&](std::uint32_t a, std::uint32_t b) {
    return worker.page.slot(a).started_ns.load() < worker.page.slot(b).started_ns.load();
  });
  return running;
}

// What is known of one request of a dead worker.
void tell_request(WorkerProcess& worker, std::uint32_t index, diagnose::Evidence& evidence) {
  const heartbeat::Slot& slot = worker.page.slot(index);
  diagnose::describe_request(worker.page, slot, base::monotonic_ns(), evidence);
  SlotWatch& watch = worker.slots[index];
  if (watch.request_id == slot.request_id.load()) evidence.samples = std::move(watch.samples);
}

}  // namespace

// Statuses of pids we do not know yet stay where they are until the fork that makes them known is
// answered.
void Arbiter::reap() {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const pid_t pid = info.si_pid;
    WorkerProcess* worker = worker_by_pid(pid);
    if (worker != nullptr) {
      on_worker_death(*worker, wait_status_of(info));
      continue;
    }
    const bool is_spawner = spawner_ && spawner_->pid() == pid;
    const bool is_successor = pid == new_arbiter_;
    const bool is_logger = pid == python_logger_.pid();
    if (!is_spawner && !is_successor && !is_logger && forks_pending_ > 0) return;
    const bool was_keeper = name_of_process(pid) == "tricorn-keeper";
    ::waitpid(pid, nullptr, WNOHANG);
    if (is_successor) {
      on_successor_end(wait_status_of(info));
    } else if (is_logger) {
      on_logger_death(wait_status_of(info));
    } else if (is_spawner) {
      log_.debug(fmt::format("Reaped the spawner (pid:{})", pid));
    } else if (was_keeper) {
      log_.debug(fmt::format("Reaped a keeper (pid:{})", pid));
    } else {
      log_.debug(fmt::format("Reaped unknown child process (pid:{}, status:{})", pid,
                             wait_status_of(info)));
    }
  }
}

void Arbiter::on_worker_death(WorkerProcess& worker, int wait_status) {
  on_control(worker);  // connections it passed on with its last breath
  for (SlotWatch& watch : worker.slots) slow_watch_.end(worker, watch, "worker died");
  const std::string ref = reference_of_death(worker);
  explain_death(worker, wait_status, ref);
  ::waitpid(worker.pid, nullptr, 0);
  answer_clients_of(worker, ref, 500);
  let_others_look(&worker);  // it may have died with a connection in the backlog that woke only it
  hook("child_exit", {worker.pid, worker.age, std::nullopt, std::nullopt});
  poller_.remove(worker.control.get());
  const int exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
  const bool failed_to_boot =
      !worker.was_ready && worker.kill.reason.empty() && state_ != State::Stopping;
  const unsigned generation = worker.generation;
  answered_by_dead_ += worker.page.header().requests.load();
  for (std::size_t i = 0; i < latency_of_dead_.size(); ++i)
    latency_of_dead_[i] += worker.page.header().latency.counts[i].load();
  auto node = workers_.extract(worker.pid);
  const int keeper = node.mapped()->keeper.fd();
  buried_.emplace(keeper, std::move(node.mapped()));
  if (failed_to_boot && reload_ != nullptr && generation == generation_) {
    abandon_reload(
        fmt::format("a worker of the new generation could not boot (status {})", exit_code));
  } else if (failed_to_boot) {
    on_boot_failure(exit_code);
  }
}

std::string Arbiter::reference_of_death(const WorkerProcess& worker) {
  if (!worker.ref.empty()) return worker.ref;
  const std::string_view told = text_of(worker.page.header().stop_reference);
  return told.empty() ? references_.next() : std::string(told);
}

void Arbiter::explain_death(WorkerProcess& worker, int wait_status, const std::string& ref) {
  diagnose::Evidence evidence = evidence_of(worker.pid);
  evidence.life = worker.life();
  diagnose::Death death = worker.inspector->autopsy(wait_status);
  death.ours = !worker.kill.reason.empty() || worker.page.header().abort_asked.load() != 0;
  death.our_reason = worker.kill.reason;
  death.oom_victims = kernel_log_.new_victims();
  death.was_ready = worker.was_ready;
  const bool clean = WIFEXITED(wait_status) && (WEXITSTATUS(wait_status) == 0 || death.ours);
  const bool asked_to_stop =
      WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGTERM && worker.leaving;
  const pid_t sender = worker.page.header().stop_sender.load();
  const bool by_us = worker.leaving || state_ != State::Running || sender == ::getpid();
  if (clean && !death.ours && !by_us) death.asked_by = sender;
  death.planned =
      (clean && death.asked_by == 0 && (worker.leaving || worker.was_ready)) || asked_to_stop;
  for (const auto& [pid, other] : workers_) {
    if (pid != worker.pid) other->inspector->refresh();
  }
  const std::vector<std::uint32_t> story = story_of(worker);
  if (death.planned && story.empty()) return;
  if (story.size() == 1) tell_request(worker, story.front(), evidence);
  for (std::size_t i = 0; i < story.size() && story.size() > 1; ++i) {
    diagnose::Evidence one = evidence_of(worker.pid);
    tell_request(worker, story[i], one);
    evidence.in_flight.push_back(diagnose::in_flight_of(one));
  }
  evidence.looks = std::move(worker.crash_looks);
  evidence.death = std::move(death);
  const diagnose::Verdict verdict = diagnose::decide(evidence);
  incidents_.died(verdict, evidence, ref);
}

// Requests in the application get the reference; those it has not seen may be sent again;
// connections between requests do not notice.
void Arbiter::answer_clients_of(WorkerProcess& worker, const std::string& ref, int status) {
  const std::time_t wall = std::time(nullptr);
  std::vector<int> answered;
  unsigned unseen = 0;
  for (std::uint32_t i = 0; i < worker.page.slot_count(); ++i) {
    heartbeat::Slot& slot = worker.page.slot(i);
    const int fd = slot.connection_fd.load();
    if (slot.started_ns.load() == 0) continue;
    const Claim claim = slot.claim.load();
    if (claim == Claim::Pending) worker.keeper.answer(fd, farewell(status, ref, wall));
    if (claim == Claim::Started) settle(worker, fd, farewell(status, ref, wall));
    answered.push_back(fd);
  }
  for (int fd = 0; fd < static_cast<int>(worker.page.hold_count()); ++fd) {
    const Hold hold = worker.page.hold(fd).load(std::memory_order_relaxed);
    if (hold == Hold::None || std::find(answered.begin(), answered.end(), fd) != answered.end())
      continue;
    if (hold == Hold::Idle) worker.keeper.hand_over(fd);
    if (hold == Hold::Writing) settle(worker, fd, farewell(status, ref, wall));
    if (hold == Hold::Reading || hold == Hold::Queued || hold == Hold::InApp) {
      worker.keeper.answer(fd, farewell(503, ref, wall));
      ++unseen;
    }
  }
  if (unseen != 0) {
    log_.error(
        fmt::format("Worker (pid:{}) had read {} more request{} that the application has not "
                    "seen: answered with 503, to be sent again; ref {}",
                    worker.pid, unseen, unseen == 1 ? "" : "s", ref));
  }
  worker.keeper.hand_over(worker.page.header().control_fd.load());
  if (worker.page.header().accepting.load() != 0) ask_for_strays(worker);
  worker.keeper.leave();
}

// It was killed on its way out of accept4: the connection has the lowest number that was free, so
// it lies among the known ones or right behind them. What comes back and is no client's is dropped.
void Arbiter::ask_for_strays(WorkerProcess& worker) {
  const heartbeat::Page& page = worker.page;
  const auto known = [&page](int fd) { return page.hold(fd).load() != Hold::None; };
  int end = static_cast<int>(page.hold_count());
  while (end > 0 && !known(end - 1)) --end;
  end = std::min(end + kStraysBehind, static_cast<int>(page.hold_count()));
  for (int fd = 0; fd < end; ++fd) {
    if (!known(fd)) worker.keeper.hand_over(fd);
  }
}

// The answer may be all there or not even begun, and only the note of it missing: the kernel knows.
void Arbiter::settle(WorkerProcess& worker, int fd, const std::string& farewell) {
  const heartbeat::AnswerMarks& marks = worker.page.answer_marks(fd);
  worker.keeper.settle(fd, marks.begin.load(std::memory_order_relaxed),
                       marks.end.load(std::memory_order_relaxed), farewell);
}

void Arbiter::on_boot_failure(int exit_code) {
  if (!ever_ready_ && (exit_code == kBootError || exit_code == kAppLoadError)) {
    exit_status_ = exit_code;
    stop_reason_ = exit_code == kBootError ? "Worker failed to boot." : "App failed to load.";
    stop(false);
    return;
  }
  const unsigned doublings = std::min(boot_failures_++, kBackOffDoublings);
  fork_not_before_ns_ = base::monotonic_ns() + (kSecond << doublings);
  log_.warning(fmt::format("The next worker is started in {} s: {} in a row could not boot",
                           1U << doublings, boot_failures_));
}

}  // namespace tricorn::arbiter
