#include "arbiter/farewell.h"

#include <gtest/gtest.h>

namespace tricorn::arbiter {
namespace {

TEST(Farewell, IsOneWholeAnswerWithItsReferenceTwice) {
  const std::string answer = farewell(500, "7f3a9c", 1795427771);
  EXPECT_EQ(answer.rfind("HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n", 0), 0U);
  EXPECT_NE(answer.find("\r\nDate: Mon, 23 Nov 2026 09:56:11 GMT\r\n"), std::string::npos);
  EXPECT_NE(answer.find("\r\nX-Reference-Id: 7f3a9c\r\n"), std::string::npos);
  const std::size_t body_at = answer.find("\r\n\r\n") + 4;
  EXPECT_NE(answer.find("Reference: 7f3a9c", body_at), std::string::npos);
  EXPECT_NE(answer.find("Content-Length: " + std::to_string(answer.size() - body_at) + "\r\n"),
            std::string::npos);
}

TEST(Farewell, TellsWhenToTryAgainOnlyWithA503) {
  EXPECT_NE(farewell(503, "000001", 0).find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_EQ(farewell(504, "000001", 0).find("Retry-After"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::arbiter
