#include "control/render.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

TEST(Table, AlignsByCharacters) {
  EXPECT_EQ(table({{"A", "B"}, {"äö", "x"}, {"long", "y"}}), "A     B\näö    x\nlong  y\n");
}

TEST(Text, SizesAndDurations) {
  EXPECT_EQ(bytes_text(-1), "-");
  EXPECT_EQ(bytes_text(2048), "2 kB");
  EXPECT_EQ(bytes_text(300 << 20), "300.0 MB");
  EXPECT_EQ(bytes_text(std::int64_t{3} << 29), "1.50 GB");
  EXPECT_EQ(duration_text(4.25), "4.2 s");
  EXPECT_EQ(duration_text(184), "3 min 4 s");
  EXPECT_EQ(duration_text(7384), "2 h 3 min");
  EXPECT_EQ(duration_text(435600), "5 d 1 h");
}

TEST(Text, ControlsDoNotReachTheTerminal) {
  EXPECT_EQ(plain("a\x1b[2Jb\n\xC2\x9B"
                  "cä"),
            "a?[2Jb???cä");
  EXPECT_EQ(member(Json{{"file", "x\x1b"}}, "file"), "x?");
  EXPECT_EQ(member(Json{{"file", nullptr}}, "file"), "-");
  EXPECT_EQ(member(Json::object(), "file"), "-");
}

TEST(Render, RequestsNamePlaceAndPhase) {
  const Json requests = Json::parse(R"([{"pid":7,"thread":1,"seconds":4.25,"phase":"application",
    "request":"GET /x","place":"app.py:9","function":"wait","gil":"none","timed_out":false},
    {"pid":8,"thread":2,"seconds":31,"phase":"application","request":"GET /y","place":null,
    "function":null,"gil":null,"timed_out":true}])");
  EXPECT_EQ(render_requests(requests),
            "SECONDS  PID  THREAD  PHASE        GIL   REQUEST  PLACE\n"
            "4.2      7    1       application  none  GET /x   app.py:9 in wait\n"
            "31.0     8    2       timed out    -     GET /y   -\n");
  EXPECT_EQ(render_requests(Json::array()), "no request is running\n");
}

TEST(Render, StacksMarkWhoHoldsTheGil) {
  const Json stacks = Json::parse(R"({"workers":[{"pid":7,"python":"read","gc":true,"threads":[
    {"tid":7,"name":"app-1","state":"R","wchan":null,"gil":"holds",
     "stack":[{"file":"/a/app.py","line":3,"function":"f"}]},
    {"tid":8,"name":"app-2","state":"S","wchan":"futex_wait","gil":"waits","stack":[]}]}],
    "left_out":2})");
  EXPECT_EQ(render_stacks(stacks),
            "Worker 7, the garbage collector runs\n"
            "  Thread 7 \"app-1\" R, holds the GIL\n"
            "      f (/a/app.py:3)\n"
            "  Thread 8 \"app-2\" S, waits for the GIL, in futex_wait\n"
            "2 more workers: tricornctl stacks PID\n");
}

TEST(Render, AWorkerThatIsStoppedSaysSo) {
  const Json workers = Json::parse(R"([{"pid":7,"age":1,"uptime_s":9,"state":"ready",
    "process_state":"T","requests":3,"running":1,"threads":4,"queued":0,"rss_bytes":1048576,
    "cpu_s":0.5,"last_incident":{"class":"wait.lock","ref":"aaaaaa"}}])");
  const std::string text = render_workers(workers);
  EXPECT_NE(text.find("stopped"), std::string::npos) << text;
  EXPECT_NE(text.find("1/4"), std::string::npos) << text;
  EXPECT_NE(text.find("wait.lock (aaaaaa)"), std::string::npos) << text;
}

TEST(Render, AnswersOfOtherVersionsDoNoHarm) {
  EXPECT_FALSE(render_status(Json::object()).empty());
  EXPECT_FALSE(render_workers(Json::parse("[{}]")).empty());
  EXPECT_FALSE(render_stacks(Json::object()).empty());
  EXPECT_FALSE(render_incidents(Json::parse(R"([{"class":5}])")).empty());
}

}  // namespace
}  // namespace tricorn::control
