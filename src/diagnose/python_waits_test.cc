#include "diagnose/python_waits.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string_view>

namespace tricorn::diagnose {
namespace {

using namespace std::string_view_literals;

// Recorded from CPython 3.11.7: `with a: g(); with b: g()`, the second inside the first. What
// _parse_exception_table of its dis module says: units 8-29 depth 1, 30-44 depth 2, 45-56 depth 1.
constexpr auto kTable =
    "\x88\x16\x41\x11\x03\x9e\x0f\x39\x05\xad\x0c\x41\x11\x03\xb9\x04\x3d\x09\xbd\x03\x41\x11"
    "\x03"sv;

TEST(ExceptionTable, SaysHowMuchOfTheStackIsInUse) {
  for (const auto& [unit, depth] : std::map<int, std::uint32_t>{
           {7, 0}, {8, 1}, {29, 1}, {30, 2}, {44, 2}, {45, 1}, {56, 1}, {57, 4}, {64, 0}}) {
    EXPECT_EQ(depth_from_exceptions(kTable, unit), depth) << unit;
  }
  EXPECT_EQ(depth_from_exceptions({}, 10), 0U);
}

TEST(ExceptionTable, ACutOneIsNothing) {
  EXPECT_EQ(depth_from_exceptions("\xca"sv, 10), 0U);
  EXPECT_EQ(depth_from_exceptions("\x8a\x4d"sv, 10), 0U);
}

}  // namespace
}  // namespace tricorn::diagnose
