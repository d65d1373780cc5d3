#include "control/flame.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

const Stacks kStacks = {{"call (wsgi.py:9);view (app.py:12)", 300},
                        {"call (wsgi.py:9);view (app.py:12);<lambda> (a&b.py:3)", 100},
                        {"(other stacks)", 100}};

TEST(Stacks, AreReadFromAReport) {
  const auto stacks = stacks_of(Json{{"stacks", {{"a (b:1)", 5}, {"c (d:2)", "x"}}}});
  ASSERT_TRUE(stacks);
  EXPECT_EQ(*stacks, (Stacks{{"a (b:1)", 5}}));
  EXPECT_FALSE(stacks_of(Json::object()));
  EXPECT_FALSE(stacks_of(Json::array()));
}

TEST(Collapsed, OneLineEach) { EXPECT_EQ(collapsed_text({{"a;b", 3}, {"c", 1}}), "a;b 3\nc 1\n"); }

TEST(Speedscope, FramesAreSharedAndWeightsAddUp) {
  const Json file = Json::parse(speedscope_json("pid 7", kStacks));
  EXPECT_EQ(file["shared"]["frames"].size(), 4U);
  const Json& profile = file["profiles"][0];
  EXPECT_EQ(profile["endValue"], 500);
  ASSERT_EQ(profile["samples"].size(), profile["weights"].size());
  std::int64_t sum = 0;
  for (const Json& weight : profile["weights"]) sum += weight.get<std::int64_t>();
  EXPECT_EQ(sum, 500);
  for (const Json& sample : profile["samples"])
    for (const Json& index : sample) EXPECT_LT(index.get<std::size_t>(), 4U);
  const Json view = {{"name", "view"}, {"file", "app.py"}, {"line", 12}};
  EXPECT_NE(std::find(file["shared"]["frames"].begin(), file["shared"]["frames"].end(), view),
            file["shared"]["frames"].end());
  EXPECT_EQ(file["shared"]["frames"][0]["name"], "(other stacks)");
}

TEST(FlameGraph, BoxesAreAsWideAsTheirTime) {
  const std::string svg = flame_svg("GET /x <y>", kStacks);
  EXPECT_NE(svg.find("GET /x &lt;y&gt;"), std::string::npos);
  EXPECT_NE(svg.find("<title>call (wsgi.py:9) - 0.4 s, 80.0%</title>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("&lt;lambda&gt; (a&amp;b.py:3) - 0.1 s, 20.0%"), std::string::npos);
  EXPECT_NE(svg.find("width=\"959.5\""), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(FlameGraph, OfNothingSaysSo) {
  EXPECT_NE(flame_svg("t", {}).find("no Python code was seen"), std::string::npos);
}

TEST(FlameGraph, DeepStacksEnd) {
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "f (a.py:1);";
  EXPECT_TRUE(flame_svg("t", {{deep, 10}}).ends_with("</svg>\n"));
}

TEST(Formats, UnknownOnesAreNamed) {
  EXPECT_TRUE(in_format("svg", "t", kStacks));
  const auto wrong = in_format("png", "t", kStacks);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text.find("'png'"), std::string::npos);
}

}  // namespace
}  // namespace tricorn::control
