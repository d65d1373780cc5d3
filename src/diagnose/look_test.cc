#include "diagnose/look.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "heartbeat/page.h"

namespace tricorn::diagnose {
namespace {

/// A process that waits for its end.
class Sleeper {
 public:
  Sleeper() : pid_(::fork()) {
    while (pid_ == 0) ::pause();
  }
  ~Sleeper() { ::waitpid(pid_, nullptr, 0); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Leaves it a zombie.
  void kill() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_;
};

// Version 1 of control groups says that a zombie is in the root.
TEST(Autopsy, ReadsTheCountersOfTheGroupTheWorkerLivedIn) {
  const base::UniqueFd memory(heartbeat::create_page_fd());
  const heartbeat::Page page = heartbeat::Page::create(memory.get(), 1, 1);
  ASSERT_TRUE(page.valid());
  const Sleeper worker;
  Inspector inspector(worker.pid(), page);
  const std::string lived_in = inspector.full_look({worker.pid(), 0, nullptr}).cgroup.memory_path;
  worker.kill();
  inspector.refresh();
  static_cast<void>(inspector.light_look({worker.pid(), 0, nullptr}));
  const Death death = inspector.autopsy(SIGKILL);
  EXPECT_EQ(death.before.memory_path, lived_in);
  EXPECT_EQ(death.after.memory_path, lived_in);
  EXPECT_FALSE(death.had_children);
}

}  // namespace
}  // namespace tricorn::diagnose
