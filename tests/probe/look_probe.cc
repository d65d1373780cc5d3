// Starts a hanging Python on a page of its own, looks at it as the arbiter does, and prints the
// verdict:
//   look_probe PYTHON hangs.py CASE  ->  one line for the log, one line of JSON
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "diagnose/look.h"
#include "diagnose/report.h"
#include "diagnose/verdict.h"
#include "heartbeat/page.h"
#include "heartbeat/recorder.h"

namespace {

using namespace tricorn;

/// Lets the patient hang on; nothing reports an age, so this is where time has to pass.
void pass(int milliseconds) { ::poll(nullptr, 0, milliseconds); }

pid_t start(char** argv, int page_fd, const heartbeat::Page& page) {
  const auto* base = reinterpret_cast<const char*>(&page.header());
  const auto at = [base](const void* field) {
    return fmt::format("{}", static_cast<const char*>(field) - base);
  };
  const std::string fd = fmt::format("{}", page_fd);
  const std::string layout = at(&page.header().python), state = at(&page.header().layout_state);
  const std::string tid = at(&page.slot(0).tid), tstate = at(&page.slot(0).tstate);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::fcntl(page_fd, F_SETFD, 0);
  ::execl(argv[1], argv[1], argv[2], argv[3], fd.c_str(), layout.c_str(), state.c_str(),
          tid.c_str(), tstate.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

/// When the patient is dead: its line, as the arbiter would log it. @return whether it is
bool print_death(pid_t pid, const heartbeat::Page& page, diagnose::Inspector& inspector,
                 diagnose::Evidence& evidence) {
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) != pid) return false;
  diagnose::describe_request(page, page.slot(0), base::monotonic_ns(), evidence);
  evidence.death = inspector.autopsy(status);
  evidence.death->was_ready = true;
  const auto verdict = diagnose::decide(evidence);
  std::printf("%s\n", diagnose::death_line(verdict, evidence, "000000").c_str());
  std::printf("%s", diagnose::report_json(verdict, evidence, "000000", 0).c_str());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const base::UniqueFd page_fd(heartbeat::create_page_fd());
  const heartbeat::Page page = heartbeat::Page::create(page_fd.get(), 1, 16);
  const pid_t pid = start(argv, page_fd.get(), page);
  page.header().pid = pid;
  page.header().life = heartbeat::Life::Ready;
  for (int i = 0; i < 500 && page.header().layout_state.load() != 1; ++i) pass(10);
  heartbeat::begin_request(page.slot(0), "GET", "/probe", 15, {}, base::monotonic_ns());

  diagnose::Inspector inspector(pid, page);
  diagnose::Evidence evidence;
  const auto target = diagnose::target_of(page.slot(0));
  pass(800);  // the collector's case needs this long to build its garbage
  const bool dies = std::string(argv[3]).starts_with("die_");
  for (int i = 0; dies && i < 60; ++i) {
    if (print_death(pid, page, inspector, evidence)) return 0;
    evidence.samples.push_back(inspector.light_look(target));
    pass(100);
  }
  for (int i = 0; i < 3; ++i) {
    evidence.samples.push_back(inspector.light_look(target));
    pass(100);
  }
  evidence.looks.push_back(inspector.full_look(target));
  pass(400);
  for (int i = 0; i < 4; ++i) {
    evidence.looks.push_back(inspector.full_look(target));
    pass(10);
  }
  inspector.add_quick_looks(target, evidence);
  inspector.investigate(evidence);
  diagnose::describe_request(page, page.slot(0), base::monotonic_ns(), evidence);
  evidence.timeout_ns = 2'000'000'000;
  const auto verdict = diagnose::decide(evidence);
  std::printf("%s\n", diagnose::timeout_line(verdict, evidence, "000000").c_str());
  std::printf("%s", diagnose::report_json(verdict, evidence, "000000", 0).c_str());
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return 0;
}
