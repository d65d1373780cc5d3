#include "diagnose/kernel_log.h"

#include <gtest/gtest.h>

namespace tricorn::diagnose {
namespace {

TEST(KernelLog, NamesTheVictimOfAnOomKill) {
  const auto chosen = oom_victim_in(
      "6,1041,3677094444,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
      "mems_allowed=0,oom_memcg=/shop,task_memcg=/shop,task=tricorn-worker,pid=20616,uid=0\n");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->pid, 20616);
  EXPECT_EQ(chosen->name, "tricorn-worker");
  const auto killed = oom_victim_in(
      "3,1042,3677094471,-;Memory cgroup out of memory: Killed process 20617 (a (b) c) "
      "total-vm:375028kB, anon-rss:124536kB\n");
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->pid, 20617);
  EXPECT_EQ(killed->name, "a (b) c");
  EXPECT_TRUE(oom_victim_in("3,1,2,-;Out of memory: Killed process 5 (x) total-vm:1kB"));
}

TEST(KernelLog, TellsOfNobodyElse) {
  EXPECT_FALSE(oom_victim_in("6,1,2,-;tricorn-worker invoked oom-killer: gfp_mask=0xcc0"));
  EXPECT_FALSE(oom_victim_in("6,1,2,-;oom_reaper: reaped process 5 (x), now anon-rss:0kB"));
  // Written by a program, facility 1.
  EXPECT_FALSE(oom_victim_in("12,1,2,-;Out of memory: Killed process 5 (x) total-vm:1kB"));
  EXPECT_FALSE(oom_victim_in(""));
  EXPECT_FALSE(oom_victim_in("6,1,2,-;oom-kill:"));
}

}  // namespace
}  // namespace tricorn::diagnose
