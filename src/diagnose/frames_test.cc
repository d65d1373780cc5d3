#include "diagnose/frames.h"

#include <gtest/gtest.h>

namespace tricorn::diagnose {
namespace {

TEST(StackFrom, readsRowsInnermostFirst) {
  const Stack stack =
      stack_from("8 boot.<locals>.load /srv/my app/site.py\n11 <module> /srv/a.py\n");
  ASSERT_EQ(stack.size(), 2U);
  EXPECT_EQ(stack[0], (PythonFrame{"/srv/my app/site.py", "boot.<locals>.load", 8}));
  EXPECT_EQ(stack[1], (PythonFrame{"/srv/a.py", "<module>", 11}));
}

TEST(StackFrom, stopsWhereThePageEnded) {
  for (const char* text : {"8 load /srv/a.py\n11 <modu", "8 load /srv/a.py\n11 <module> ",
                           "8 load /srv/a.py\nx load /srv/b.py", "8 load /srv/a.py\n"}) {
    EXPECT_EQ(stack_from(text).size(), 1U) << text;
  }
  EXPECT_TRUE(stack_from("").empty());
}

}  // namespace
}  // namespace tricorn::diagnose
