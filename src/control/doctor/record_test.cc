#include "control/doctor/record.h"

#include <gtest/gtest.h>

#include <string>

namespace tricorn::control::doctor {
namespace {

struct Row {
  const char* name;
  const char* text;
  Kind kind;
  std::int64_t column;
  std::int64_t pid;
  int number;
};

class ReadRecord : public testing::TestWithParam<Row> {};

TEST_P(ReadRecord, TellsKindAndPids) {
  const std::string text = GetParam().text;
  const auto record = read_record(text, scan(text));
  ASSERT_EQ(record.has_value(), GetParam().kind != Kind::None || GetParam().column >= 0);
  if (!record) return;
  EXPECT_EQ(record->kind, GetParam().kind);
  EXPECT_EQ(record->column, GetParam().column);
  EXPECT_EQ(record->pid, GetParam().pid);
  EXPECT_EQ(record->number, GetParam().number);
}

#define NOW "[2031-02-03 04:05:06 +0000] [31] "
const Row kRows[] = {
    {"start", NOW "[INFO] Starting gunicorn 21.2.0", Kind::Start, 31, -1, 0},
    {"boot", NOW "[INFO] Booting worker with pid: 44", Kind::Boot, 31, 44, 0},
    {"timeout", NOW "[CRITICAL] WORKER TIMEOUT (pid:44)", Kind::Timeout, 31, 44, 0},
    {"dirty", NOW "[ERROR] DIRTY WORKER TIMEOUT (pid:44)", Kind::None, 31, -1, 0},
    {"leaving", NOW "[INFO] Worker exiting (pid: 44)", Kind::Leaving, 31, 44, 0},
    {"killed", NOW "[ERROR] Worker (pid:44) was sent SIGKILL! Perhaps out of memory?", Kind::Killed,
     31, 44, 9},
    {"killed_20", NOW "[WARNING] Worker with pid 44 was terminated due to signal 9", Kind::Killed,
     31, 44, 9},
    {"aborted", NOW "[ERROR] Worker (pid:44) was sent SIGABRT!", Kind::Signalled, 31, 44, 6},
    {"aborted_core", NOW "[ERROR] Worker (pid:44) was sent code 134!", Kind::Signalled, 31, 44, 6},
    {"segfault_core", NOW "[ERROR] Worker (pid:44) was sent code 139!", Kind::Signalled, 31, 44,
     11},
    {"exited", NOW "[ERROR] Worker (pid:44) exited with code 3.", Kind::Exited, 31, 44, 3},
    {"stop", NOW "[INFO] Handling signal: term", Kind::StopSignal, 31, -1, 0},
    {"winch", NOW "[INFO] Handling signal: winch", Kind::None, 31, -1, 0},
    {"without_level_pid", "[CRITICAL] WORKER TIMEOUT (pid:44)", Kind::Timeout, -1, 44, 0},
    {"python_logging", "2031-02-03 04:05:06,123 CRITICAL gunicorn.error WORKER TIMEOUT (pid:44)",
     Kind::Timeout, -1, 44, 0},
    {"basic_config", "CRITICAL:gunicorn.error:WORKER TIMEOUT (pid:44)", Kind::Timeout, -1, 44, 0},
    {"flask_root_logger", "[2031-02-03 04:05:06,123] CRITICAL in glogging: WORKER TIMEOUT (pid:44)",
     Kind::Timeout, -1, 44, 0},
    {"in_quotes", "user typed \"WORKER TIMEOUT (pid:44)\"", Kind::None, -1, -1, 0},
    {"behind_a_sentence", "INFO support: customer wrote: WORKER TIMEOUT (pid:44)", Kind::None, -1,
     -1, 0},
    {"behind_a_logger", "till gunicorn.error: WORKER TIMEOUT (pid:44)", Kind::Timeout, -1, 44, 0},
    {"in_a_sentence", "we saw a WORKER TIMEOUT (pid:44) once", Kind::None, -1, -1, 0},
    {"no_number", NOW "[CRITICAL] WORKER TIMEOUT (pid:", Kind::None, 31, -1, 0},
};
INSTANTIATE_TEST_SUITE_P(Wordings, ReadRecord, testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

std::string path_in(const std::string& text) {
  const auto record = read_record(text, scan(text));
  return record ? std::string(record->path) : "none";
}

TEST(FailedRequest, PathIsBareOfMethodHostAndQuery) {
  EXPECT_EQ(path_in(NOW "[ERROR] Error handling request /a?b=c"), "/a");
  EXPECT_EQ(path_in(NOW "[ERROR] Error handling request POST /a?b=c"), "/a");
  EXPECT_EQ(path_in(NOW "[ERROR] Error handling request GET http://till.example/a#x"), "/a");
  EXPECT_EQ(path_in(NOW "[ERROR] Error handling request (no URI read)"), "");
  EXPECT_EQ(path_in(NOW "[ERROR] Error handling request"), "");
}

TEST(AccessLine, IsAServedRequestAndNoClientsOwn) {
  const auto is = [](std::string_view text) { return is_access_line(text, scan(text)); };
  EXPECT_TRUE(is("10.0.0.9 - - [x] \"GET /x HTTP/1.1\" 200 5"));
  EXPECT_TRUE(is("INFO:     10.0.0.9:5 - \"GET /x HTTP/1.1\" 404 Not Found"));
  EXPECT_FALSE(is("DEBUG:urllib3.connectionpool:http://host:80 \"GET /x HTTP/1.1\" 200 2"));
  EXPECT_FALSE(is("10.0.0.9 \"GET /x HTTP/1.1\" -"));
  EXPECT_FALSE(is("says HTTP/1.1 200"));
}

TEST(Stamps, OnlyOneClockIsCompared) {
  const std::string text = "[2031-02-03 04:05:06 +0100] [31] [INFO] x";
  const auto record = read_record(text, scan(text));
  ASSERT_TRUE(record.has_value());
  std::string_view iso = "2031-02-03T03:05:08Z";
  const When own{record->stamp, {}};
  const When wrapper{{}, take_iso(iso)->stamp};
  EXPECT_FALSE(seconds_between(own, wrapper).has_value());
  EXPECT_TRUE(may_be_one_moment(own, wrapper, 2));
  EXPECT_FALSE(may_be_one_moment(own, wrapper, 1));
  EXPECT_EQ(time_text(own), "2031-02-03 03:05:06");
  std::string_view december = "Dec 31 23:59:59";
  std::string_view january = "Jan  1 00:00:01";
  EXPECT_EQ(seconds_between({{}, *take_syslog_time(december)}, {{}, *take_syslog_time(january)}),
            2.0);
}

}  // namespace
}  // namespace tricorn::control::doctor
