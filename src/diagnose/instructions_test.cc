#include "diagnose/instructions.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

#include "base/clock.h"
#include "diagnose/procfs.h"

namespace tricorn::diagnose {
namespace {

/// A process that computes until it is killed.
class Busy {
 public:
  Busy() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (std::atomic<unsigned> turns{0};; ++turns) {
    }
  }
  ~Busy() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

constexpr std::int64_t kPatienceNs = 10'000'000'000;

/// Waits until there are so many; what there is when the time is over.
std::optional<std::vector<std::uint64_t>> wait_for(const InstructionSampler& sampler,
                                                   std::size_t count) {
  const std::int64_t until = base::monotonic_ns() + kPatienceNs;
  for (;;) {
    auto seen = sampler.seen();
    if ((seen && seen->size() >= count) || base::monotonic_ns() > until) return seen;
    ::usleep(1000);
  }
}

bool permitted() {
  int level = 4;
  std::ifstream("/proc/sys/kernel/perf_event_paranoid") >> level;
  return level <= 2;
}

TEST(Instructions, AreInTheProgramThatIsBusy) {
  if (!permitted()) GTEST_SKIP() << "perf_event_paranoid is above 2";
  const Busy busy;
  const InstructionSampler sampler(busy.pid());
  const auto seen = wait_for(sampler, 5);
  if (!seen) GTEST_SKIP() << "perf_event_open is not permitted here";
  ASSERT_GE(seen->size(), 5U);
  std::ifstream file("/proc/" + std::to_string(busy.pid()) + "/maps");
  const std::string maps{std::istreambuf_iterator<char>(file), {}};
  const NativeCode native = native_code_in(maps, *seen);
  EXPECT_EQ(native.module, "diagnose_test");
  EXPECT_GT(native.in_module * 2, native.samples);
}

constexpr std::string_view kMaps =
    "1000-2000 r-xp 00000000 08:01 12   /usr/bin/python3.11\n"
    "3000-4000 r-xp 00000000 08:01 13   /usr/lib/libz.so.1.2.13\n"
    "4000-4100 r--p 00001000 08:01 13   /usr/lib/libz.so.1.2.13\n"
    "5000-6000 r-xp 00001000 08:01 13   /usr/lib/libz.so.1.2.13\n"
    "7000-8000 rwxp 00000000 00:00 0 \n";

TEST(NativeCode, IsTheFileWithMostOfTheInstructions) {
  const NativeCode native = native_code_in(kMaps, {0x3500, 0x1500, 0x5500, 0x3fff, 0x9000});
  EXPECT_EQ(native.module, "libz.so.1.2.13");
  EXPECT_EQ(native.in_module, 3U);
  EXPECT_EQ(native.samples, 5U);
}

TEST(NativeCode, MadeAtRunTimeIsInNoFile) {
  const NativeCode native = native_code_in(kMaps, {0x7500, 0x7501, 0x1500});
  EXPECT_EQ(native.module, "");
  EXPECT_EQ(native.in_module, 2U);
  EXPECT_EQ(native_code_in(kMaps, {}).samples, 0U);
}

}  // namespace
}  // namespace tricorn::diagnose
