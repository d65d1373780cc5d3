#include "control/words.h"

#include <gtest/gtest.h>

namespace tricorn::control {
namespace {

const std::vector<Command> kCommands = {
    {"status", "", "how it is", "", "", 0, 0},
    {"explain", "REF ", "one incident", "--report", "", 1, 1},
    {"profile", "[PID] ", "where time goes", "--seconds --output", "More.\n", 1, 0},
};

std::string fault(const std::vector<std::string>& words) {
  const auto wish = read_words(kCommands, words);
  return wish ? "none" : wish.error().text;
}

TEST(Words, OptionsMayStandAnywhereAndHaveTheirValueAttached) {
  const auto wish = read_words(kCommands, {"-s", "/x", "profile", "12", "--seconds=3", "-o", "f"});
  ASSERT_TRUE(wish) << wish.error().text;
  EXPECT_EQ(wish->command->name, "profile");
  EXPECT_EQ(wish->arguments, std::vector<std::string>{"12"});
  EXPECT_EQ(wish->value("--socket"), "/x");
  EXPECT_EQ(wish->value("--seconds"), "3");
  EXPECT_EQ(wish->value("--output"), "f");
  EXPECT_EQ(wish->value("--rate", "100"), "100");
}

TEST(Words, FaultsAreNamed) {
  EXPECT_EQ(fault({}), "a command is needed");
  EXPECT_EQ(fault({"stauts"}), "unknown command 'stauts'");
  EXPECT_EQ(fault({"status", "--colour"}), "unknown option '--colour'");
  EXPECT_EQ(fault({"status", "-s"}), "-s needs a value");
  EXPECT_EQ(fault({"status", "--json=yes"}), "--json takes no value");
  EXPECT_EQ(fault({"status", "--seconds", "3"}), "--seconds is not for status");
  EXPECT_EQ(fault({"status", "12"}), "status: '12' is one word too many");
  EXPECT_EQ(fault({"explain"}), "explain needs REF ");
}

TEST(Words, HelpOfAllAndOfOne) {
  EXPECT_TRUE(read_words(kCommands, {"--help"}));
  EXPECT_TRUE(read_words(kCommands, {"explain", "-h"}));  // without its REF
  EXPECT_NE(help_of(kCommands, nullptr).find("one incident"), std::string::npos);
  const std::string help = help_of(kCommands, &kCommands[2]);
  EXPECT_NE(help.find("--seconds N"), std::string::npos);
  EXPECT_NE(help.find("More."), std::string::npos);
  EXPECT_EQ(help.find("--report"), std::string::npos);
}

TEST(Words, NumbersHaveBounds) {
  EXPECT_EQ(*whole_number("--seconds", "300", 300), 300);
  for (const char* wrong : {"", "0", "301", "-1", "3s", "1.5"})
    EXPECT_FALSE(whole_number("--seconds", wrong, 300)) << wrong;
}

}  // namespace
}  // namespace tricorn::control
