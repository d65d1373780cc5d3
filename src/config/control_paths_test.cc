#include "config/control_paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/testing/temporary_folder.h"

namespace tricorn::config {
namespace {

namespace fs = std::filesystem;

Variable environment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

TEST(ControlDirectories, RuntimeDirectoryThenHomeThenTemporary) {
  EXPECT_EQ(control_directories(environment({{"XDG_RUNTIME_DIR", "/run/u"}, {"HOME", "/h"}}), 7),
            (std::vector<std::string>{"/run/u/tricorn", "/h/.tricorn", "/tmp/tricorn-7"}));
}

TEST(ControlDirectories, ValuesThatAreNoPathDoNotCount) {
  EXPECT_EQ(control_directories(environment({{"XDG_RUNTIME_DIR", ""}, {"HOME", "h"}}), 7),
            std::vector<std::string>{"/tmp/tricorn-7"});
}

class PrepareControlDirectory : public testing::Test {
 protected:
  const base::TemporaryFolder folder_;
  const fs::path top_ = folder_.path();
};

TEST_F(PrepareControlDirectory, MakesOneForTheOwnerOnly) {
  const std::string directory = top_ / "control";
  EXPECT_TRUE(prepare_control_directory(directory, ::geteuid()));
  EXPECT_TRUE(prepare_control_directory(directory, ::geteuid()));  // there already
  struct stat status {};
  ASSERT_EQ(::stat(directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

TEST_F(PrepareControlDirectory, RefusesWhatOthersMayWriteTo) {
  const std::string directory = top_ / "control";
  ASSERT_TRUE(prepare_control_directory(directory, ::geteuid()));
  ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
  EXPECT_FALSE(prepare_control_directory(directory, ::geteuid()));
}

TEST_F(PrepareControlDirectory, RefusesAnothersAndLinksAndFiles) {
  EXPECT_FALSE(prepare_control_directory(top_ / "control", ::geteuid() + 1));
  fs::create_directory_symlink(top_, top_ / "link");
  EXPECT_FALSE(prepare_control_directory(top_ / "link", ::geteuid()));
  EXPECT_FALSE(prepare_control_directory(top_ / "no" / "parent", ::geteuid()));
}

}  // namespace
}  // namespace tricorn::config
