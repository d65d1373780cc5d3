#include "http/h1/parser.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>
#include <utility>

#include "http/h1/known_fields.h"

namespace tricorn::http::h1 {
namespace {

using Status = HeadParser::Status;

const std::string kStart = "GET /a?b=c HTTP/1.1\r\nHost: example.org:80\r\n";

/// A parser that has read one whole head.
class Read {
 public:
  explicit Read(std::string bytes, const Limits& limits = {})
      : bytes_(std::move(bytes)), parser_(limits) {
    status_ = parser_.feed(bytes_);
  }
  Status status() const { return status_; }
  const RequestHead& head() const { return parser_.head(); }
  std::string message() const { return parser_.refusal().message; }
  int refused() const { return status_ == Status::Error ? parser_.refusal().status : 0; }

 private:
  std::string bytes_;
  HeadParser parser_;
  Status status_;
};

TEST(HeadParser, GivesViewsIntoTheCallersBytes) {
  const std::string bytes = kStart + "X-Thing:  some value \t\r\n\r\nbody";
  HeadParser parser{Limits{}};
  ASSERT_EQ(parser.feed(bytes), Status::Done);
  const RequestHead& head = parser.head();
  EXPECT_EQ(head.method, Method::Get);
  EXPECT_EQ(head.method_text, "GET");
  EXPECT_EQ(head.target, "/a?b=c");
  EXPECT_EQ(head.path, "/a");
  EXPECT_EQ(head.query, "b=c");
  EXPECT_EQ(head.version_minor, 1);
  EXPECT_EQ(head.head_bytes, bytes.size() - 4);
  ASSERT_EQ(head.fields.size(), 2U);
  EXPECT_EQ(head.fields[1].name, "X-Thing");
  EXPECT_EQ(head.fields[1].value, "some value");
  EXPECT_EQ(head.fields[1].value.data(), bytes.data() + bytes.find("some"));
  EXPECT_EQ(head.fields[1].known, KnownField::Other);
  EXPECT_EQ(head.find(KnownField::Host)->value, "example.org:80");
  EXPECT_EQ(head.find("x-thing"), &head.fields[1]);
  EXPECT_EQ(head.find(KnownField::Cookie), nullptr);
}

TEST(HeadParser, NamesEveryMethodItKnows) {
  const std::pair<const char*, Method> methods[] = {
      {"GET", Method::Get},     {"HEAD", Method::Head},     {"POST", Method::Post},
      {"PUT", Method::Put},     {"DELETE", Method::Delete}, {"OPTIONS", Method::Options},
      {"PATCH", Method::Patch}, {"TRACE", Method::Trace},   {"BREW", Method::Other}};
  for (const auto& [text, method] : methods) {
    const Read read(std::string(text) + " / HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_EQ(read.status(), Status::Done) << text;
    EXPECT_EQ(read.head().method, method) << text;
  }
}

TEST(HeadParser, FollowsABufferThatMoves) {
  const std::string bytes = kStart + "Cookie: a=b\r\nAccept: */*\r\n\r\n";
  HeadParser parser{Limits{}};
  std::string here;
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    std::string moved = bytes.substr(0, size);
    ASSERT_EQ(parser.feed(moved), Status::NeedMore);
    here.swap(moved);
  }
  ASSERT_EQ(parser.feed(bytes), Status::Done);
  EXPECT_EQ(parser.head().path.data(), bytes.data() + 4);
  EXPECT_EQ(parser.head().fields[0].value.data(), bytes.data() + bytes.find("example"));
  EXPECT_EQ(parser.head().fields[1].value, "a=b");
}

TEST(HeadParser, KeepsItsOutcomeUntilReset) {
  HeadParser parser{Limits{}};
  const std::string bad = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_EQ(parser.feed(bad), Status::Error);
  EXPECT_EQ(parser.feed(bad), Status::Error);
  parser.reset();
  const std::string good = kStart + "\r\n";
  EXPECT_EQ(parser.feed(good), Status::Done);
  EXPECT_EQ(parser.feed(good), Status::Done);
  EXPECT_EQ(parser.head().fields.size(), 1U);
}

TEST(HeadParser, ResetForgetsTheRequestBefore) {
  HeadParser parser{Limits{}};
  const std::string first =
      "POST http://b/x?y HTTP/1.0\r\nHost: a\r\nContent-Length: 7\r\nConnection: "
      "keep-alive\r\n\r\n";
  ASSERT_EQ(parser.feed(first), Status::Done);
  parser.reset();
  const std::string second = "GET /z HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_EQ(parser.feed(second), Status::Done);
  EXPECT_FALSE(parser.head().length.has_value());
  EXPECT_EQ(parser.head().content_length, 0U);
  EXPECT_TRUE(parser.head().query.empty());
  EXPECT_TRUE(parser.head().authority.empty());
  EXPECT_EQ(parser.head().version_minor, 1);
}

TEST(HeadParser, Rule1PassesCodingsBeforeChunkedOnAndCloses) {
  const Read read(kStart + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
  ASSERT_EQ(read.status(), Status::Done);
  EXPECT_TRUE(read.head().chunked);
  EXPECT_TRUE(read.head().must_close);
  EXPECT_FALSE(read.head().keep_alive);
}

TEST(HeadParser, Rule3TakesTheLargestLengthThatFitsASignedCounter) {
  const Read read(kStart + "Content-Length: 9223372036854775807\r\n\r\n");
  ASSERT_EQ(read.status(), Status::Done);
  EXPECT_EQ(read.head().content_length, 9223372036854775807U);
}

TEST(HeadParser, Rule18AsksForContinueOnlyIn11) {
  EXPECT_TRUE(Read(kStart + "Expect: 100-CONTINUE\r\n\r\n").head().expect_continue);
  EXPECT_FALSE(Read("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").head().expect_continue);
}

TEST(HeadParser, Rule26TakesTheAuthorityOfAnAbsoluteForm) {
  const Read read("GET http://b.example:81/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(read.status(), Status::Done);
  EXPECT_EQ(read.head().authority, "b.example:81");
  EXPECT_EQ(read.head().path, "/x");
  EXPECT_EQ(read.head().query, "y=1");
  EXPECT_EQ(read.head().target, "http://b.example:81/x?y=1");
}

TEST(HeadParser, CountsTheEmptyLineBeforeTheRequest) {
  const Read read("\r\n" + kStart + "\r\n");
  ASSERT_EQ(read.status(), Status::Done);
  EXPECT_EQ(read.head().head_bytes, 2 + kStart.size() + 2);
}

TEST(HeadParser, JoinsFoldedLinesWithOneSpaceWhenPermitted) {
  Limits limits;
  limits.permit_obsolete_folding = true;
  const Read read(kStart + "X: a  \r\n   b\r\n\tc\r\nY: z\r\n\r\n", limits);
  ASSERT_EQ(read.status(), Status::Done);
  EXPECT_EQ(read.head().fields[1].value, "a b c");
  EXPECT_EQ(read.head().fields[2].value, "z");
}

TEST(HeadParser, BoundsWhatFoldingJoins) {
  Limits limits;
  limits.permit_obsolete_folding = true;
  limits.field_bytes_max = 16;
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: a\r\nX: 1234567\r\n 12345678\r\n\r\n", limits).status(),
            Status::Done);
  EXPECT_EQ(
      Read("GET / HTTP/1.1\r\nHost: a\r\nX: 1234567\r\n 1234567890\r\n\r\n", limits).refused(),
      431);
}

TEST(HeadParser, AppliesTheLimitsItIsGiven) {
  Limits limits;
  limits.request_line_bytes_max = 14;
  limits.fields_max = 1;
  limits.field_bytes_max = 9;
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", limits).status(), Status::Done);
  EXPECT_EQ(Read("GET /b HTTP/1.1\r\nHost: a\r\n\r\n", limits).refused(), 414);
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: ab\r\n\r\n", limits).refused(), 431);
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", limits).refused(), 431);
}

TEST(HeadParser, TakesZeroAsTheLargestLimitThereIs) {
  Limits limits;
  limits.request_line_bytes_max = limits.field_bytes_max = limits.fields_max = 0;
  EXPECT_EQ(limits.line_max(), Limits::kRequestLineCap);
  EXPECT_EQ(limits.fields_bound(), Limits::kFieldsCap);
  EXPECT_EQ(limits.field_bound(), 8190U);
}

TEST(HeadParser, EndsAnEndlessLineAtItsBoundAndNotLater) {
  HeadParser parser{Limits{}};
  const std::string at_bound = "GET /" + std::string(4094 + 1 - 5, 'a');
  EXPECT_EQ(parser.feed(at_bound), Status::NeedMore);
  EXPECT_EQ(parser.feed(at_bound + "a"), Status::Error);
  EXPECT_EQ(parser.refusal().status, 414);
}

struct Words {
  const char* bytes;
  const char* message;
};

// Source: gunicorn.md section 6.3.
TEST(HeadParser, RefusesInGunicornsWords) {
  const Words rows[] = {
      {"FOO\r\n", "Invalid Request Line 'Invalid HTTP request line: 'FOO''"},
      {"get / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'get''"},
      {"GET / HTTP/3.0\r\n", "Invalid HTTP Version 'Invalid HTTP Version: (3, 0)'"},
      {"GET / FOO/1.1\r\n", "Invalid HTTP Version 'FOO/1.1'"},
      {"GET / HTTP/1.1\r\nHost : a\r\n", "Invalid HTTP header name: 'Host '"},
      {"GET / HTTP/1.1\r\nFoo\r\n", "Invalid HTTP Header: 'Foo'"},
      {"GET / HTTP/1.1\r\nHost: a\x01"
       "b\r\n",
       "Invalid HTTP Header: 'HOST'"},
      {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n", "Obsolete line folding is unacceptable: 'HOST'"},
      {"GET / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n",
       "Unable to comply with expectation: 'foo'"},
      {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo, chunked\r\n\r\n",
       "Unsupported transfer coding: 'foo, chunked'"},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
       "Invalid HTTP Header: 'CONTENT-LENGTH'"},
  };
  for (const Words& row : rows) {
    EXPECT_EQ(Read(row.bytes).message(), row.message) << row.bytes;
  }
}

TEST(HeadParser, ShowsNoControlBytesInMessages) {
  const Read read("G\x1b[31m\t\xff / HTTP/1.1\r\n");
  EXPECT_EQ(read.message(),
            "Invalid Request Line 'Invalid HTTP request line: 'G\\x1b[31m\\t\\xff / HTTP/1.1''");
  const Read lengthy("X" + std::string(100, '(') + "\r\n");
  EXPECT_EQ(lengthy.message(),
            "Invalid Request Line 'Invalid HTTP request line: 'X" + std::string(63, '(') + "...''");
}

TEST(HeadParser, RecognisesEveryKnownFieldInAnyCase) {
  for (std::size_t i = 0; i < kKnownFields; ++i) {
    const auto known = static_cast<KnownField>(i);
    std::string lower(name_of(known));
    std::string upper = lower;
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    for (const std::string& name : {std::string(name_of(known)), lower, upper}) {
      EXPECT_EQ(known_field(name), known) << name;
    }
    EXPECT_EQ(known_field(lower + "x"), KnownField::Other);
    std::string changed = lower;
    changed[changed.size() / 2] = '_';
    EXPECT_EQ(known_field(changed), KnownField::Other) << changed;
  }
}

}  // namespace
}  // namespace tricorn::http::h1
