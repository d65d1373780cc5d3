#include "base/process_title.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace tricorn::base {
namespace {

std::string shown() {
  std::ifstream file("/proc/self/cmdline");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

// In a child, whose words are its own copy. @return 0 when all is as expected
int try_titles() {
  ::setenv("TITLE_TEST", "set after the start", 1);
  const std::string path = std::getenv("PATH");
  const std::string longer = "tricorn: master [" + std::string(shown().size() + 20, 'x') + "]";
  if (!set_process_title("tricorn") || shown() != "tricorn") return 1;
  if (!set_process_title(longer) || shown() != longer) return 2;
  if (path != std::getenv("PATH")) return 3;
  if (std::string("set after the start") != std::getenv("TITLE_TEST")) return 4;
  if (set_process_title(std::string(1 << 20, 'y')) || shown().substr(0, 3) != "yyy") return 5;
  if (!set_process_title("short again") || shown() != "short again") return 6;
  const auto room = TitleRoom::find();
  if (!room) return 7;
  room->show("a child");
  if (shown() != "a child") return 8;
  room->show(std::string(1 << 20, 'z'));
  return shown().find_first_not_of('z') == std::string::npos && path == std::getenv("PATH") ? 0 : 9;
}

TEST(ProcessTitle, IsShownWhateverItsLengthAndTheEnvironmentStays) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(try_titles());
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace tricorn::base
