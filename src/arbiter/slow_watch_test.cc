// With this process as the worker: it runs no Python, so that what is looked at is never named.
#include "arbiter/slow_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "base/clock.h"
#include "heartbeat/recorder.h"

namespace tricorn::arbiter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

class Slow : public testing::Test {
 protected:
  Slow() {
    const base::UniqueFd fd(heartbeat::create_page_fd());
    worker_ = std::make_unique<WorkerProcess>(heartbeat::Page::create(fd.get(), 2, 16),
                                              base::UniqueFd(), base::UniqueFd());
    worker_->pid = ::getpid();
    worker_->inspector = std::make_unique<diagnose::Inspector>(::getpid(), worker_->page);
    worker_->slots.resize(2);
    options_.slow_ns = 10 * kSecond;
    base::LogOptions log;
    log.path = path_;
    EXPECT_TRUE(log_.open(log).has_value());
  }
  ~Slow() override { ::unlink(path_.c_str()); }
  Slow(const Slow&) = delete;
  Slow& operator=(const Slow&) = delete;

  // A request that began so long ago.
  void begin(std::uint32_t index, const char* path, std::int64_t age_ns) {
    heartbeat::Slot& slot = worker_->page.slot(index);
    const std::int64_t started = base::monotonic_ns() - age_ns;
    slot.tid.store(::gettid());
    heartbeat::begin_request(slot, "GET", path, 9, heartbeat::Client{}, started);
    worker_->slots[index].request_id = slot.request_id.load();
    worker_->slots[index].started_ns = started;
  }

  // As the loop does, without waiting for the time it asks for between two looks.
  // @return when it wants to be called next
  std::int64_t attend(std::uint32_t index) {
    std::int64_t at = watch_.attend(*worker_, index, 0);
    const SlotWatch& slot = worker_->slots[index];
    for (int looks = 0; looks < 10 && at != 0 && slot.slow != nullptr; ++looks) {
      slot.slow->next_ns = 0;
      at = watch_.attend(*worker_, index, 0);
    }
    return at;
  }

  std::string log() {
    const base::UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 8192> bytes{};
    const ssize_t got = ::read(file.get(), bytes.data(), bytes.size());
    return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  std::string path_ = testing::TempDir() + "slow_watch_test." + std::to_string(::getpid());
  Options options_;
  base::Log log_;
  Incidents incidents_{log_};
  References references_;
  SlowWatch watch_{options_, incidents_, references_, log_};
  std::unique_ptr<WorkerProcess> worker_;
};

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST_F(Slow, IsLeftAloneUntilItIsDue) {
  begin(0, "/x", 4 * kSecond);
  const std::int64_t due = attend(0);
  EXPECT_EQ(due, worker_->slots[0].started_ns + 10 * kSecond);
  EXPECT_EQ(watch_.attend(*worker_, 0, due + kSecond), due + kSecond);  // the server did not run
  EXPECT_EQ(worker_->slots[0].slow, nullptr);
  EXPECT_EQ(log(), "");
}

TEST_F(Slow, IsNeverToldOfWhenItIsOff) {
  options_.slow_ns = 0;
  begin(0, "/x", 4000 * kSecond);
  EXPECT_EQ(attend(0), 0);
  EXPECT_EQ(worker_->slots[0].slow, nullptr);
}

TEST_F(Slow, IsToldOfOnceAndItsEndToo) {
  begin(0, "/x", 12 * kSecond);
  EXPECT_EQ(attend(0), 0);
  EXPECT_EQ(attend(0), 0);
  EXPECT_EQ(count(log(), "[WARNING] Slow request (pid:"), 1U);
  EXPECT_NE(log().find(": GET /x running 12."), std::string::npos) << log();
  const std::string ref = worker_->slots[0].slow->ref;
  ASSERT_NE(incidents_.ring().find(ref, true), nullptr);
  watch_.end(*worker_, worker_->slots[0], "answered");
  watch_.end(*worker_, worker_->slots[0], "answered");
  EXPECT_EQ(count(log(), " ended: GET /x took 12."), 1U) << log();
  EXPECT_EQ(count(log(), "; ref " + ref), 2U);
}

TEST_F(Slow, ItsLikeIsKeptQuietAndCounted) {
  begin(0, "/x", 12 * kSecond);
  EXPECT_EQ(attend(0), 0);
  begin(1, "/x", 11 * kSecond);
  EXPECT_EQ(attend(1), 0);
  EXPECT_TRUE(worker_->slots[1].slow->quiet);
  watch_.end(*worker_, worker_->slots[1], "answered");
  EXPECT_EQ(count(log(), "Slow request"), 1U) << log();
}

TEST_F(Slow, TheDeathOfItsWorkerHasItsReference) {
  begin(0, "/x", 12 * kSecond);
  EXPECT_EQ(attend(0), 0);
  const std::string ref = worker_->slots[0].slow->ref;
  watch_.end(*worker_, worker_->slots[0], "worker died");
  EXPECT_EQ(worker_->ref, ref);
  EXPECT_EQ(count(log(), "Slow request"), 1U);  // what died is told by its own line
}

TEST_F(Slow, SamplesOfOneTurnAreBounded) {
  begin(0, "/x", 12 * kSecond);
  EXPECT_EQ(attend(0), 0);
  SlowRequest& slow = *worker_->slots[0].slow;
  watch_.begin_turn();
  for (unsigned i = 0; i < kSlowSamplesPerTurn; ++i) {
    slow.next_ns = 0;
    EXPECT_EQ(watch_.attend(*worker_, 0, 0), 0);
    EXPECT_GT(slow.next_ns, 0);  // it was sampled
  }
  slow.next_ns = 0;
  EXPECT_EQ(watch_.attend(*worker_, 0, 0), 0);
  EXPECT_EQ(slow.next_ns, 0);
  watch_.begin_turn();
  EXPECT_EQ(watch_.attend(*worker_, 0, 0), 0);
  EXPECT_GT(slow.next_ns, 0);
}

}  // namespace
}  // namespace tricorn::arbiter
