// One file, line by line: unwraps, recognises, and keeps what the findings need. Memory does not
// grow with the file.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/doctor/command.h"
#include "control/doctor/dump.h"
#include "control/doctor/findings.h"
#include "control/doctor/lives.h"
#include "control/doctor/memory.h"
#include "control/doctor/record.h"
#include "control/doctor/scan.h"
#include "control/doctor/traceback.h"
#include "control/doctor/unwrap.h"

namespace tricorn::control::doctor {

/// Bytes of one line that are read; the rest of a longer line is stepped over.
inline constexpr std::size_t kLineBytesMax = 256UL * 1024;
/// Records remembered to know a second copy: two generations of this many.
inline constexpr std::size_t kCopiesRemembered = 65'536;
/// Lanes (outputs of one process) whose tracebacks are followed.
inline constexpr std::size_t kLanesMax = 1'024;
/// Lines that do not belong to an open traceback before it counts as cut.
inline constexpr int kForeignLinesMax = 64;
/// H12 lines and time-outs kept to find those that belong together.
inline constexpr std::size_t kRecentMax = 256;
/// Time-outs whose class is known and whose traceback may still come.
inline constexpr std::size_t kToldMax = 4'096;
/// Failed boots kept until it is known whether a traceback names their cause.
inline constexpr std::size_t kBootFailuresMax = 4'096;
/// Lines whose text is kept for quoting, and how much of one.
inline constexpr std::size_t kQuotesMax = 8'192;
inline constexpr std::size_t kQuoteBytesMax = 240;

/// All that is known of one file.
struct Report {
  Facts facts;
  std::vector<Finding> findings;
  std::map<std::uint64_t, std::string> quotes;  ///< by line
  std::uint64_t lines = 0;
  std::uint64_t known = 0;  ///< lines the doctor understood
  std::uint64_t blank = 0;
  When first, last;  ///< of the records
};

class Reading {
 public:
  Reading();
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  /// Reads the next line, without its newline; never fails.
  void read(std::string_view raw);
  /// The verdict, after the last line; once.
  [[nodiscard]] Report finish();

 private:
  struct Context {  ///< the record a traceback belongs to
    Kind kind = Kind::None;
    LifeId life = kNobody;
    Mark mark;
    std::uint64_t hash = 0;
    bool used = false;
    bool copy = false;
    std::uint64_t told = 0;  ///< line of the request's time-out, which named its cause; 0 none
  };
  struct Told {  ///< a time-out whose line names its class
    const Meaning* meaning = nullptr;
    Mark mark;
    std::string path, detail;
    bool request_seen = false;
  };
  struct Lane {
    TracebackReader traceback;
    DumpReader dump;
    Context context;  ///< of the next traceback
    Context bound;    ///< of the open one
    int foreign = 0;
    bool chained = false;  ///< the next traceback was raised while the last was handled
    std::string last_exception;
    std::uint64_t last_exception_line = 0;
  };
  struct Request {  ///< an H12
    std::uint32_t source = 0;
    bool any_source = false;
    Mark mark;
    std::string path;
  };
  struct Ended {  ///< a time-out
    std::uint32_t source = 0;
    LifeId life = kNobody;
    Mark mark;
  };
  struct BootFailure {
    std::uint32_t source = 0;
    std::uint32_t run = 0;
    LifeId life = kNobody;
    Mark mark;
    std::string exception;
  };
  struct Dyno {
    Mark r15;
    bool stopping = false;
  };
  struct Sign {  ///< of a wanted stop, or of a reason for an exit code 137
    Mark mark;
  };

  void read_whole(const Line& line);
  void read_lines(std::string_view rest, const Line& line);
  void read_text(std::string_view text, const Line& line);
  bool read_parts(std::string_view text, const Line& line, const Hits& hits);
  bool learn_prefix(const Record& record, std::string_view text, const Line& line);
  // records.cc
  void on_record(const Record& record, const Line& line, Lane& lane);
  bool on_worker_end(const Record& record, const Mark& mark);
  void on_timeout(const Record& record, const Mark& mark);
  // told.cc
  void on_request_timeout(const Record& record, const Mark& mark);
  void on_told(const Record& record, const Mark& mark);
  void note_cause(const Life& life, const Record& record, const Mark& mark);
  std::uint64_t told_before(LifeId life, const Record& record);
  void end_told_stack(Lane& lane);
  void on_told_stack(const Traceback& traceback, const Context& context);
  void settle(LifeId life, const Traceback* traceback);
  Finding& add_cause(const Meaning& meaning, std::string_view id, const Mark& mark,
                     const std::string& detail);
  static void note_path(Life& life, std::string_view path);
  LifeId on_failed_request(const Record& record, const Mark& mark);
  void on_boot_trouble(const Record& record, const Mark& mark, Lane& lane);
  void on_worker_words(const Record& record, const Mark& mark);
  void note_mass(std::uint32_t run, const Mark& mark);
  // tracebacks.cc
  void read_traceback(std::string_view text, const Hits& hits, bool foreign, Lane& lane,
                      bool& part);
  void on_traceback(const Traceback& traceback, const Context& context, Lane& lane);
  void on_abort(const Traceback& whole, const Context& context);
  bool read_dump(std::string_view text, const Hits& hits, Lane& lane);
  void on_dump(const Traceback& traceback);
  bool add_place(const Traceback& traceback, const Mark& record);
  void fail_boot(LifeId life, const Mark& mark, std::string_view exception);
  Lane& lane_of(const Line& line);
  // platform.cc
  bool read_platform(std::string_view text, const Line& line, const Hits& hits, bool in_traceback);
  bool read_heroku(std::string_view text, const Line& line, const Hits& hits);
  bool read_memory(std::string_view text, const Line& line, const Hits& hits);
  void on_platform_oom(std::string_view text, const Line& line);
  bool read_settings(std::string_view text, const Line& line, const Hits& hits, bool record);
  void note_platform_signs(std::string_view text, const Hits& hits);
  void set_command(const std::optional<Command>& variable, const std::optional<Command>& command);
  void on_exit_137(std::string_view text, const Hits& hits);
  void on_h12(std::string_view text, const Line& line, std::size_t at);
  void on_stop_sign();
  void match_h12(const Request& request, const Ended& ended);
  // judge.cc
  static void judge_one(void* self, Life& life);
  void judge(Life& life);
  void judge_kill(Life& life);
  void judge_timeout(Life& life);
  void judge_crash(const Life& life);
  void judge_row(const Life& life);
  void judge_silence(Life& life);
  [[nodiscard]] bool showed_service(const Life& life) const;
  [[nodiscard]] bool is_boot_timeout(const Life& life) const;
  void finish_boots();
  void finish_limits();
  void finish_memory();

  [[nodiscard]] Mark mark_of(const Line& line, const Stamp& record) const;
  void quote(std::uint64_t number, std::string_view text);
  bool is_copy(std::uint64_t hash, bool stamped);
  std::uint32_t source_of(const Line& line);

  Unwrapper unwrapper_;
  Lives lives_;
  Victims victims_;
  Findings findings_;
  Report report_;
  PrintedSettings printed_;
  std::uint64_t number_ = 0;
  Mark here_;  ///< the line being read
  std::uint32_t source_ = 0;
  std::string source_name_;
  bool source_known_ = false;
  bool again_ = false;  ///< the line's prefix is known only now
  std::unordered_map<std::uint64_t, Lane> lanes_;
  std::size_t open_lanes_ = 0;
  std::unordered_set<std::uint64_t> copies_, old_copies_;
  std::uint64_t last_unstamped_ = 0;
  std::uint64_t first_known_ = 0;

  // Platform.
  Mark app_service_;
  bool other_platform_ = false;
  std::map<std::uint32_t, Dyno> dynos_;
  std::deque<Request> h12s_;
  std::deque<Ended> timeouts_;
  Mark stop_sign_, oom_reason_, not_oom_;
  std::deque<Mark> exits_137_;
  std::string container_;
  std::set<std::string> oom_containers_;
  std::uint64_t platform_oom_kills_ = 0;
  std::vector<Mark> oom_proof_;

  // Settings.
  Mark command_;
  bool command_has_timeout_ = false, command_has_config_ = false, any_timeout_set_ = false;
  bool timeout_by_command_ = false;
  std::string command_text_;
  std::string continued_;  ///< a command line that goes on, as its last backslash says
  int continued_lines_ = 0;
  std::optional<std::int64_t> timeout_;
  std::optional<std::int64_t> other_timeout_;

  // Workers.
  std::map<LifeId, Told> told_;
  std::map<std::uint32_t, std::deque<Mark>> mass_;
  std::map<std::uint32_t, std::uint64_t> mass_said_;
  std::map<std::uint32_t, LifeId> server_process_;
  std::vector<BootFailure> boot_failures_;
  std::map<std::uint32_t, std::vector<Mark>> rows_;
  std::vector<std::pair<Mark, Mark>> boot_timeouts_;  ///< boot and time-out
  std::vector<std::pair<Mark, bool>> boot_timeouts_unknown_;
  std::vector<Mark> some_timeouts_;
  std::set<LifeId> places_told_;
};

}  // namespace tricorn::control::doctor
