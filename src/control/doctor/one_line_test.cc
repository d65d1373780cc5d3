#include "control/doctor/one_line.h"

#include <gtest/gtest.h>

namespace tricorn::control::doctor {
namespace {

std::string split(const std::string& text) { return in_lines(text, text.find("Traceback")); }

TEST(OneLine, BlanksForLineEnds) {
  EXPECT_EQ(split("[ERROR] x Traceback (most recent call last): File \"a.py\", line 1, in f "
                  "run(a, b) ^^^^^^ File \"b.py\", line 2, in <module> raise V(\"no: x\") "
                  "app.errors.ValueError: no: x"),
            "[ERROR] x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    "
            "run(a, b)\n  File \"b.py\", line 2, in <module>\n    raise V(\"no: x\")\n"
            "app.errors.ValueError: no: x");
}

TEST(OneLine, TwoLettersForLineEnds) {
  EXPECT_EQ(split("x\\nTraceback (most recent call last):\\n  File \"a.py\", line 1, in f\\n    "
                  "g()\\nSystemExit: 1\\n"),
            "x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n"
            "SystemExit: 1\n");
}

TEST(OneLine, CutAnywhere) {
  const std::string whole =
      "x Traceback (most recent call last): File \"a.py\", line 1, in f g() SystemExit: 1";
  for (std::size_t size = whole.find("last):") + 6; size < whole.size(); ++size) {
    const std::string cut = split(whole.substr(0, size));
    EXPECT_TRUE(cut.empty() || cut.starts_with("x\nTraceback (most recent call last):\n")) << cut;
  }
}

TEST(OneLine, OthersStay) {
  EXPECT_EQ(split("Traceback (most recent call last):"), "");
  EXPECT_EQ(split("Traceback (most recent call last): see File \"a.py\""), "");
}

}  // namespace
}  // namespace tricorn::control::doctor
