#include "diagnose/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "diagnose/testing/interpreter.h"

namespace tricorn::diagnose {
namespace {

TEST(SnapshotMemory, IsOfOneMomentAndAsksForTheRest) {
  FakeMemory memory;
  constexpr std::uint64_t kEnd = 0x80000;
  memory.put_bytes(kEnd - 2048, std::string(4096, 'a'));  // nothing below that
  const SnapshotMemory snapshot(memory, kEnd);
  memory.put_bytes(kEnd - 2048, std::string(4096, 'b'));
  std::string inside(2, ' '), outside(2, ' ');
  EXPECT_TRUE(snapshot.read(kEnd - 2, inside.data(), 2));
  EXPECT_TRUE(snapshot.read(kEnd - 1, outside.data(), 2)) << "reaches beyond it";
  EXPECT_EQ(inside, "aa");
  EXPECT_EQ(outside, "bb");
  EXPECT_FALSE(snapshot.read(0x1000, inside.data(), 2));
}

TEST(ReadAhead, HasWhatWasFetchedAndAsksForTheRest) {
  FakeMemory memory;
  memory.put_bytes(0x1000, std::string(16, 'a'));
  memory.put_bytes(0x3000, std::string(24, 'a'));
  ReadAhead ahead(memory);
  const std::vector<std::uint64_t> addresses{0x1000, 0x2000, 0x3000};
  ahead.fetch(addresses, 16);
  for (const std::uint64_t address : {0x1000U, 0x2000U, 0x3000U})
    memory.put_bytes(address, std::string(24, 'b'));
  const auto text = [&](std::uint64_t address, std::size_t bytes) {
    std::string into(bytes, ' ');
    return ahead.read(address, into.data(), bytes) ? into : "none";
  };
  EXPECT_EQ(text(0x1000, 16) + text(0x1008, 2), std::string(18, 'a'));
  EXPECT_EQ(text(0x3004, 3), "aaa");
  EXPECT_EQ(text(0x2000, 3), "bbb") << "was not there";
  EXPECT_EQ(text(0x3008, 12), std::string(12, 'b')) << "reaches beyond it";
  EXPECT_EQ(text(0x500, 1), "none");
}

TEST(ProcessMemory, ReadsManyPlacesUpToTheFirstThatIsNone) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto rights = PROT_READ | PROT_WRITE;
  void* mapped = ::mmap(nullptr, 2 * page, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* bytes = static_cast<char*>(mapped);
  ASSERT_EQ(::munmap(bytes + page, page), 0);
  std::memcpy(bytes, "one two", 7);
  const auto start = reinterpret_cast<std::uint64_t>(bytes);
  const ProcessMemory memory(::getpid());
  std::vector<std::uint64_t> places(100, start);
  places[99] = start + 4;
  std::string into(300, ' ');
  EXPECT_EQ(memory.read_each(places, 3, into.data()), 100U) << "more than one call takes";
  EXPECT_EQ(into.substr(0, 6) + into.substr(297), "oneonetwo");
  places[70] = start + page - 1;
  EXPECT_EQ(memory.read_each(places, 3, into.data()), 70U);
  EXPECT_EQ(::munmap(bytes, page), 0);
}

}  // namespace
}  // namespace tricorn::diagnose
