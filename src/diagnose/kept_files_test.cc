#include "diagnose/kept_files.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "base/testing/temporary_folder.h"

namespace tricorn::diagnose {
namespace {

TEST(KeptFiles, GiveWhatAFileHasNow) {
  KeptFiles files(1);
  const base::TemporaryFolder folder;
  for (const char* name : {"kept", "beyond_the_bound"}) {
    const std::string path = (folder.path() / name).string();
    EXPECT_FALSE(files.read(path));
    std::ofstream(path) << "one";
    EXPECT_EQ(files.read(path), "one");
    std::ofstream(path) << std::string(10000, '2');
    EXPECT_EQ(files.read(path), std::string(10000, '2'));
  }
}

TEST(KeptFiles, OfWhatHasGoneThereIsNothing) {
  KeptFiles files(1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::string path = "/proc/" + std::to_string(child) + "/stat";
  EXPECT_TRUE(files.read(path));
  ::kill(child, SIGKILL);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(files.read(path));
  EXPECT_TRUE(files.read("/proc/self/stat")) << "its place is free again";
}

}  // namespace
}  // namespace tricorn::diagnose
