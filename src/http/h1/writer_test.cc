#include "http/h1/writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace tricorn::http::h1 {
namespace {

ResponseFacts facts(int status, std::optional<std::uint64_t> length = {},
                    Method method = Method::Get, int minor = 1) {
  return {method, minor, status, length, true};
}

struct Row {
  const char* name;
  ResponseFacts facts;
  bool send_body, chunked, send_length, keep_alive;
};

class Frame : public testing::TestWithParam<Row> {};

TEST_P(Frame, FollowsRules15To17) {
  const Row& row = GetParam();
  const Framing framing = frame(row.facts);
  EXPECT_EQ(framing.send_body, row.send_body);
  EXPECT_EQ(framing.chunked, row.chunked);
  EXPECT_EQ(framing.send_length, row.send_length);
  EXPECT_EQ(framing.keep_alive, row.keep_alive);
  EXPECT_FALSE(framing.chunked && (framing.send_length || !framing.send_body));
}

const Row kRows[] = {
    {"LengthGiven", facts(200, 5), true, false, true, true},
    {"NoLength", facts(200), true, true, false, true},
    {"NoLengthIn10", facts(200, {}, Method::Get, 0), true, false, false, false},
    {"LengthIn10", facts(200, 5, Method::Get, 0), true, false, true, true},
    {"Head", facts(200, {}, Method::Head), false, false, false, true},
    {"HeadWithLength", facts(200, 5, Method::Head), false, false, true, true},
    {"NoContent", facts(204, 5), false, false, false, true},
    {"ResetContent", facts(205), false, false, true, true},
    {"NotModified", facts(304), false, false, false, true},
    {"NotModifiedWithLength", facts(304, 5), false, false, true, true},
    {"Interim", facts(101, 5), false, false, false, false},
    {"Tunnel", facts(200, 5, Method::Connect), false, false, false, false},
    {"TunnelRefused", facts(405, 5, Method::Connect), true, false, true, true},
    {"Error", facts(500, 5), true, false, true, true},
};
INSTANTIATE_TEST_SUITE_P(OneRowEach, Frame, testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

TEST(Frame, ClosesWhenTheClientWishes) {
  ResponseFacts closing = facts(200, 5);
  closing.client_keeps_alive = false;
  EXPECT_FALSE(frame(closing).keep_alive);
}

TEST(Frame, SaysZeroFor205WhateverTheApplicationSays) {
  EXPECT_EQ(frame(facts(205, 7)).length, 0U);
}

std::string head_of(const ResponseFacts& response, std::string_view status,
                    std::string_view fields) {
  std::string out;
  append_head(out, response, frame(response), status, fields);
  const std::size_t date = out.find("Date: ");
  if (date != std::string::npos) out.replace(date + 6, 29, "D");
  return out;
}

TEST(AppendHead, WritesFieldsOnceAndInOrder) {
  EXPECT_EQ(head_of(facts(200, 5), "200 OK", "X: y\r\n"),
            "HTTP/1.1 200 OK\r\nServer: tricorn\r\nDate: D\r\nX: y\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(head_of(facts(200), "200 OK", ""),
            "HTTP/1.1 200 OK\r\nServer: tricorn\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(AppendHead, Rule17SpeaksTo10AsItUnderstands) {
  EXPECT_EQ(head_of(facts(200, {}, Method::Get, 0), "200 OK", ""),
            "HTTP/1.0 200 OK\r\nServer: tricorn\r\nDate: D\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(head_of(facts(200, 18446744073709551615U, Method::Get, 0), "200 OK", ""),
            "HTTP/1.0 200 OK\r\nServer: tricorn\r\nDate: D\r\nConnection: keep-alive\r\n"
            "Content-Length: 18446744073709551615\r\n\r\n");
}

TEST(ChunkHead, IsTheSizeInHex) {
  std::string out;
  append_chunk_head(out, 1);
  append_chunk_head(out, 255);
  append_chunk_head(out, 0xffffffffffffffffU);
  EXPECT_EQ(out, "1\r\nff\r\nffffffffffffffff\r\n");
}

TEST(HttpDate, IsImfFixdate) {
  EXPECT_EQ(http_date(784111777),
            "Sun, 06 Nov 1994 08:49:37 GMT");  // the example of RFC 9110 section 5.6.7
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST(ValidStatus, Rule14RefusesWhatWouldSplitTheResponse) {
  for (const char* good : {"200 OK", "200", "404 ", "599 \xe4\x80 x"})
    EXPECT_TRUE(valid_status(good)) << good;
  for (const char* bad : {"", "20", "2000", "abc", "000 x", "600 x", "200OK", "200 a\r\nX: y",
                          "200 a\nb", "-20 OK"}) {
    EXPECT_FALSE(valid_status(bad)) << bad;
  }
  EXPECT_FALSE(valid_status(std::string_view("200 a\0b", 7)));
}

TEST(FieldFromTheApplication, Rule14IsRefusedWithControls) {
  EXPECT_TRUE(valid_field_value("a\tb \xff"));
  EXPECT_TRUE(valid_field_value(""));
  const std::string lengthy(40, 'x');
  for (const std::string& bad : {std::string("a\r\nb"), std::string("a\nb"), std::string("a\0b", 3),
                                 lengthy + "\x7f", lengthy + "\r", "\x01" + lengthy}) {
    EXPECT_FALSE(valid_field_value(bad));
  }
  EXPECT_TRUE(valid_field_name("X-A_b.9"));
  for (const char* bad : {"", "a b", "a:", "\xe4", "a\r\n", "0123456789abcdefghijklm("}) {
    EXPECT_FALSE(valid_field_name(bad)) << bad;
  }
}

// One odd byte at each place of texts of each length: blocks, their overlaps and the short ones.
TEST(FieldText, IsCheckedAtEveryPlace) {
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(byte);
        const bool control = byte != '\t' && (byte < 0x20 || byte == 0x7f);
        ASSERT_EQ(valid_field_value(text), !control) << size << " " << at << " " << byte;
        const bool token =
            byte > 0x20 && byte < 0x7f && std::strchr("\"(),/:;<=>?@[\\]{}", byte) == nullptr;
        ASSERT_EQ(valid_field_name(text), token) << size << " " << at << " " << byte;
      }
    }
  }
}

TEST(ServerOwned, AreHopByHopFieldsDateAndServer) {
  for (const char* name :
       {"Connection", "DATE", "Keep-Alive", "Proxy-Authenticate", "proxy-authorization", "TE",
        "Server", "Trailer", "trailers", "Transfer-Encoding", "Upgrade", "Proxy-Connection"}) {
    EXPECT_TRUE(is_server_owned(name)) << name;
  }
  for (const char* name : {"Content-Type", "Set-Cookie", "Dates", "Location", "ETag", "T"}) {
    EXPECT_FALSE(is_server_owned(name)) << name;
  }
}

std::string without_date(std::string page) {
  const std::size_t date = page.find("Date: ");
  return page.erase(date, page.find("\r\n", date) + 2 - date);
}

// Source: gunicorn.md section 6.3; N=141 for a 500.
TEST(ErrorPage, IsGunicornsByteForByteButForDate) {
  EXPECT_EQ(without_date(error_page(500, "", "")),
            "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Type: "
            "text/html\r\nContent-Length: 141\r\n"
            "\r\n<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n"
            "    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n");
}

TEST(ErrorPage, EscapesTheMessage) {
  const std::string page = error_page(400, "Invalid Method '<b>&\"'", "");
  EXPECT_NE(page.find("    Invalid Method &#x27;&lt;b&gt;&amp;&quot;&#x27;\n"), std::string::npos);
}

TEST(ErrorPage, CarriesTheReferenceInBodyAndField) {
  const std::string page = error_page(500, "", "7f3a9c");
  EXPECT_NE(page.find("\r\nX-Reference-Id: 7f3a9c\r\n"), std::string::npos);
  EXPECT_NE(page.find("    Reference: 7f3a9c\n"), std::string::npos);
  const std::size_t body = page.find("\r\n\r\n") + 4;
  EXPECT_NE(page.find("Content-Length: " + std::to_string(page.size() - body) + "\r\n"),
            std::string::npos);
}

TEST(ErrorPage, DropsAReferenceThatIsNone) {
  EXPECT_EQ(error_page(500, "", "a\r\nX: y").find("Reference"), std::string::npos);
}

TEST(ReasonPhrase, KnowsTheUsualOnes) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(reason_phrase(299), "Unknown");
}

}  // namespace
}  // namespace tricorn::http::h1
