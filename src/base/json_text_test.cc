#include "base/json_text.h"

#include <gtest/gtest.h>

namespace tricorn::base {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesWhatWouldEndOrForgeAString) {
  EXPECT_EQ(quoted("a\"b\\c\nd\x01\x7f"), "\"a\\\"b\\\\c\\nd\\u0001\\u007f\"");
}

TEST(JsonText, KeepsUtf8) {
  EXPECT_EQ(quoted("\u00e4\u20ac\U0001F600"), "\"\u00e4\u20ac\U0001F600\"");
}

TEST(JsonText, ReplacesWhatIsNoUtf8ByteByByte) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(quoted("\xff"), '"' + bad + '"');
  EXPECT_EQ(quoted("\xc0\x80"), '"' + bad + bad + '"');            // a long form of NUL
  EXPECT_EQ(quoted("\xed\xa0\x80"), '"' + bad + bad + bad + '"');  // a surrogate
  EXPECT_EQ(quoted("\xf4\x90\x80\x80"), '"' + bad + bad + bad + bad + '"');
  EXPECT_EQ(quoted("\xe2\x82"), '"' + bad + bad + '"');  // cut short
}

}  // namespace
}  // namespace tricorn::base
