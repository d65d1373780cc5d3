#include "http/h1/chunked.h"

#include <gtest/gtest.h>

#include <string>

namespace tricorn::http::h1 {
namespace {

using Status = ChunkedDecoder::Status;

TEST(ChunkedDecoder, GivesOnePieceAtATimeAndTheFramingAround) {
  ChunkedDecoder decoder{Limits{}};
  const std::string bytes = "5\r\nhello\r\n3;a=b\r\nabc\r\n0\r\n\r\nGET /";
  const auto first = decoder.feed(bytes);
  EXPECT_EQ(first.status, Status::More);
  EXPECT_EQ(first.data, "hello");
  EXPECT_EQ(first.data.data(), bytes.data() + 3);
  const auto second = decoder.feed(std::string_view(bytes).substr(first.consumed));
  EXPECT_EQ(second.status, Status::Done);
  EXPECT_EQ(second.data, "abc");
  EXPECT_EQ(bytes.substr(first.consumed + second.consumed), "GET /");
}

TEST(ChunkedDecoder, StaysDoneAndStaysBroken) {
  ChunkedDecoder decoder{Limits{}};
  EXPECT_EQ(decoder.feed("0\r\n\r\n").status, Status::Done);
  EXPECT_EQ(decoder.feed("0\r\n\r\n").consumed, 0U);
  EXPECT_EQ(decoder.feed("0\r\n\r\n").status, Status::Done);
  decoder.reset();
  EXPECT_EQ(decoder.feed("x").status, Status::Error);
  EXPECT_EQ(decoder.feed("0\r\n\r\n").status, Status::Error);
  EXPECT_EQ(decoder.refusal().status, 400);
  decoder.reset();
  EXPECT_EQ(decoder.feed("1\r\na\r\n0\r\n\r\n").status, Status::Done);
}

TEST(ChunkedDecoder, GivesTheDataThatStoodBeforeAnError) {
  ChunkedDecoder decoder{Limits{}};
  const auto step = decoder.feed("2\r\nhi!");
  EXPECT_EQ(step.status, Status::Error);
  EXPECT_EQ(step.data, "hi");
  EXPECT_EQ(decoder.refusal().message, "Invalid chunk terminator is not '\\r\\n'");
}

TEST(ChunkedDecoder, AsksForMoreWithoutAnyData) {
  ChunkedDecoder decoder{Limits{}};
  const auto step = decoder.feed("5\r");
  EXPECT_EQ(step.status, Status::More);
  EXPECT_TRUE(step.data.empty());
  EXPECT_EQ(step.consumed, 2U);
  EXPECT_EQ(decoder.feed("").consumed, 0U);
}

TEST(ChunkedDecoder, Rule12KeepsTrailersApart) {
  ChunkedDecoder decoder{Limits{}};
  EXPECT_EQ(decoder.feed("0\r\nX-Sum: 1\r\nCookie:  a \r\n\r\n").status, Status::Done);
  ASSERT_EQ(decoder.trailers().size(), 2U);
  EXPECT_EQ(decoder.trailers()[0].name, "X-Sum");
  EXPECT_EQ(decoder.trailers()[1].value, "a");
  EXPECT_EQ(decoder.trailers()[1].known, KnownField::Cookie);
  decoder.reset();
  EXPECT_TRUE(decoder.trailers().empty());
}

TEST(ChunkedDecoder, Rule12BoundsTheWholeTrailerSection) {
  ChunkedDecoder decoder{Limits{}};
  std::string bytes = "0\r\n";
  const std::string line = "X: " + std::string(8000, 'y') + "\r\n";
  for (int i = 0; i < 8; ++i) bytes += line;
  EXPECT_EQ(decoder.feed(bytes).status, Status::More);
  EXPECT_EQ(decoder.feed(line).status, Status::Error);
  EXPECT_EQ(decoder.refusal().status, 431);
}

TEST(ChunkedDecoder, TakesAnyNumberOfTinyChunks) {
  ChunkedDecoder decoder{Limits{}};
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(decoder.feed("1\r\na\r\n").status, Status::More);
  EXPECT_EQ(decoder.feed("0\r\n\r\n").status, Status::Done);
}

// Source: CVE-2023-39326, a client that sends a byte of data per kilobyte of extension.
TEST(ChunkedDecoder, Rule12EndsExtensionsThatOutweighTheData) {
  ChunkedDecoder decoder{Limits{}};
  const std::string chunk = "1;" + std::string(1000, 'e') + "\r\na\r\n";
  int taken = 0;
  while (taken < 1000 && decoder.feed(chunk).status == Status::More) ++taken;
  EXPECT_GE(taken, 16);
  EXPECT_LE(taken, 17);
}

TEST(ChunkedDecoder, Rule4LetsTheSumOfChunksNotOverflow) {
  ChunkedDecoder decoder{Limits{}};
  EXPECT_EQ(decoder.feed("7fffffffffffffff\r\n").status, Status::More);
  decoder.reset();
  EXPECT_EQ(decoder.feed("1\r\na\r\n7fffffffffffffff\r\n").status, Status::Error);
}

}  // namespace
}  // namespace tricorn::http::h1
