#include "base/append.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>

#include "base/testing/temporary_folder.h"

namespace tricorn::base {
namespace {

class OpenToAppend : public testing::Test {
 protected:
  static void write(const UniqueFd& to, std::string_view text) {
    EXPECT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() / "log";
};

TEST_F(OpenToAppend, MakesAFileForWhomItIsMeantAndGoesOnAtItsEnd) {
  const UniqueFd first = open_to_append(path_, 0600);
  write(first, "one\n");
  const UniqueFd second = open_to_append(path_, 0666);
  write(second, "two\n");
  write(first, "three\n");
  EXPECT_EQ(std::filesystem::file_size(path_), 14U);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(OpenToAppend, AFifoNeedsNoReader) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const UniqueFd fifo = open_to_append(path_, 0600);
  ASSERT_TRUE(fifo.valid());
  write(fifo, "one\n");
}

TEST_F(OpenToAppend, SaysWhyNot) {
  EXPECT_FALSE(open_to_append(folder_.path() / "none" / "log", 0600).valid());
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(open_to_append(folder_.path(), 0600).valid());
  EXPECT_EQ(errno, EISDIR);
}

}  // namespace
}  // namespace tricorn::base
