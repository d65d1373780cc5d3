#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "heartbeat/page.h"
#include "heartbeat/recorder.h"
#include "heartbeat/wire.h"

namespace tricorn::heartbeat {
namespace {

TEST(Page, IsSeenThroughASecondMapping) {
  const base::UniqueFd fd(create_page_fd());
  const Page written = Page::create(fd.get(), 3, 100);
  const Page read = Page::attach(fd.get());
  ASSERT_TRUE(read.valid());
  begin_request(written.slot(2), "GET", "/orders", 9, Client{AF_INET, 4711, {127, 0, 0, 1}}, 42);
  written.hold(99).store(Hold::InApp);
  const Slot& slot = read.slot(2);
  EXPECT_EQ(std::string(slot.request, slot.request_bytes), "GET /orders");
  EXPECT_EQ(slot.method_bytes, 3);
  EXPECT_EQ(slot.started_ns.load(), 42);
  EXPECT_EQ(slot.sequence.load() % 2, 0U);
  EXPECT_EQ(read.hold(99).load(), Hold::InApp);
}

TEST(Recorder, TextsOfAnyLengthAndFromAnywhereAreKept) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 10);
  const Slot& slot = page.slot(0);
  std::string line = "PUT /";
  for (std::size_t bytes = line.size(); bytes < kRequestBytesMax + 20; ++bytes) {
    const std::string_view whole = line;
    const std::string apart(whole.substr(4));
    for (const std::string_view path : {whole.substr(4), std::string_view(apart)}) {
      begin_request(page.slot(0), whole.substr(0, 3), path, 9, {}, 42);
      EXPECT_EQ(std::string_view(slot.request, slot.request_bytes),
                whole.substr(0, kRequestBytesMax));
      EXPECT_EQ(slot.method_bytes, 3);
    }
    line += static_cast<char>('a' + bytes % 26);
  }
}

TEST(Page, ADescriptorBeyondTheTableHasAHoldToo) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 10);
  page.hold(1000).store(Hold::Idle);
  for (int known = 0; known < 10; ++known) EXPECT_EQ(page.hold(known).load(), Hold::None);
}

TEST(Page, AFileThatIsNoPageIsRefused) {
  const base::UniqueFd fd(create_page_fd());
  ASSERT_EQ(::ftruncate(fd.get(), 65536), 0);
  EXPECT_FALSE(Page::attach(fd.get()).valid());
  EXPECT_EQ(errno, EINVAL);
}

TEST(Page, ACopyIsSeenByNobodyElse) {
  const base::UniqueFd fd(create_page_fd());
  const Page shared = Page::create(fd.get(), 2, 10);
  const Page kept = Page::attach(fd.get());
  begin_request(shared.slot(1), "GET", "/twin", 5, {}, 42);
  shared.header().pid.store(4711);
  ASSERT_TRUE(kept.keep_copy());
  const Slot& slot = kept.slot(1);
  EXPECT_EQ(std::string(slot.request, slot.request_bytes), "GET /twin");
  EXPECT_EQ(kept.header().pid.load(), 4711);
  kept.slot(1).claim.store(1, Claim::Farewell);
  kept.header().abort_asked.store(1);
  kept.hold(10).store(Hold::InApp);
  EXPECT_EQ(shared.slot(1).claim.load(), Claim::Pending);
  EXPECT_EQ(shared.header().abort_asked.load(), 0U);
  EXPECT_EQ(shared.hold(10).load(), Hold::None);
}

TEST(Recorder, CutsALongPath) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 1);
  begin_request(page.slot(0), "POST", std::string(5000, 'p'), 5, {}, 1);
  EXPECT_EQ(page.slot(0).request_bytes, kRequestBytesMax);
}

TEST(Recorder, OneOfTwoGetsTheAnswer) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 1);
  Slot& slot = page.slot(0);
  begin_request(slot, "GET", "/", 5, {}, 1);
  ASSERT_TRUE(take_answer(slot, slot.request_id.load()));
  EXPECT_FALSE(take_answer(slot, slot.request_id.load())) << "once";
  EXPECT_FALSE(claim_answer(slot));
  EXPECT_FALSE(end_request(slot));
  begin_request(slot, "GET", "/", 5, {}, 1);
  EXPECT_TRUE(claim_answer(slot));
  EXPECT_TRUE(claim_answer(slot)) << "the worker goes on with what it has begun";
  EXPECT_TRUE(end_request(slot));
}

// The request ends by itself when the arbiter has taken its answer, and before it has given it.
TEST(TakeAnswer, IsAboutTheClientOfThatRequest) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 1);
  Slot& slot = page.slot(0);
  begin_request(slot, "GET", "/late", 5, {}, 1);
  const auto taken = take_answer(slot, 1);
  EXPECT_FALSE(end_request(slot));
  begin_request(slot, "GET", "/next", 6, {}, 2);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->connection_fd, 5);
  EXPECT_EQ(taken->before, Claim::Pending);
  EXPECT_FALSE(take_answer(slot, 1)) << "over";
  EXPECT_TRUE(claim_answer(slot)) << "the next one is the worker's";
  EXPECT_EQ(take_answer(slot, 2)->before, Claim::Started);
}

TEST(TakeAnswer, TheNextRequestNeverLosesItsAnswer) {
  constexpr std::uint32_t kRequests = 500'000;
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 1);
  Slot& slot = page.slot(0);
  std::atomic<bool> stop{false};
  std::thread arbiter([&] {  // always late: the request it means has ended
    while (!stop.load()) static_cast<void>(take_answer(slot, slot.request_id.load() - 1));
  });
  std::uint32_t lost = 0;
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    begin_request(slot, "GET", "/", 5, {}, 1);
    lost += claim_answer(slot) ? 0 : 1;
    lost += end_request(slot) ? 0 : 1;
  }
  stop.store(true);
  arbiter.join();
  EXPECT_EQ(lost, 0U);
}

TEST(Recorder, OnlyTheRequestThatTheArbiterAnsweredIsAbandoned) {
  const base::UniqueFd fd(create_page_fd());
  const Page page = Page::create(fd.get(), 1, 1);
  Slot& slot = page.slot(0);
  EXPECT_FALSE(slot.is_abandoned());
  begin_request(slot, "GET", "/", 5, {}, 1);
  EXPECT_FALSE(slot.is_abandoned());
  slot.abandoned.store(slot.request_id.load());
  EXPECT_TRUE(slot.is_abandoned());
  static_cast<void>(end_request(slot));
  begin_request(slot, "GET", "/", 5, {}, 2);
  EXPECT_FALSE(slot.is_abandoned());
}

TEST(Wire, CarriesPayloadAndDescriptor) {
  base::UniqueFd ours;
  base::UniqueFd theirs;
  ASSERT_TRUE(socket_pair(ours, theirs));
  ASSERT_TRUE(send_message(ours.get(), Verb::Answer, 7, "HTTP/1.1", 8, theirs.get(), 0));
  Message message;
  base::UniqueFd passed;
  ASSERT_EQ(receive_message(theirs.get(), message, passed, 0), Received::Message);
  EXPECT_EQ(message.verb, Verb::Answer);
  EXPECT_EQ(message.number, 7);
  EXPECT_EQ(std::string(message.payload, message.bytes), "HTTP/1.1");
  EXPECT_TRUE(passed.valid());
  EXPECT_EQ(receive_message(theirs.get(), message, passed, MSG_DONTWAIT), Received::Nothing);
}

TEST(Wire, TellsThatThePeerIsGone) {
  base::UniqueFd ours;
  base::UniqueFd theirs;
  ASSERT_TRUE(socket_pair(ours, theirs));
  ours.reset();
  Message message;
  base::UniqueFd passed;
  EXPECT_EQ(receive_message(theirs.get(), message, passed, 0), Received::Closed);
  EXPECT_FALSE(send_message(theirs.get(), Verb::Hello, 1, nullptr, 0, -1, 0));
}

TEST(Wire, LosesNoMessageOfAPeerThatLeftWithOursUnread) {
  base::UniqueFd ours;
  base::UniqueFd theirs;
  ASSERT_TRUE(socket_pair(ours, theirs));
  ASSERT_TRUE(send_message(ours.get(), Verb::Look, 0, nullptr, 0, -1, 0));
  ASSERT_TRUE(send_message(theirs.get(), Verb::Ready, 8, nullptr, 0, -1, 0));
  theirs.reset();
  Message message;
  base::UniqueFd passed;
  ASSERT_EQ(receive_message(ours.get(), message, passed, MSG_DONTWAIT), Received::Message);
  EXPECT_EQ(message.number, 8);
  EXPECT_EQ(receive_message(ours.get(), message, passed, MSG_DONTWAIT), Received::Closed);
}

}  // namespace
}  // namespace tricorn::heartbeat
