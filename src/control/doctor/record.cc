#include "control/doctor/record.h"

#include <algorithm>
#include <array>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

constexpr std::array<std::pair<Word, std::string_view>, 5> kLevels = {{
    {Word::LevelCritical, "[CRITICAL]"},
    {Word::LevelError, "[ERROR]"},
    {Word::LevelWarning, "[WARNING]"},
    {Word::LevelInfo, "[INFO]"},
    {Word::LevelDebug, "[DEBUG]"},
}};

constexpr std::array<std::pair<std::string_view, int>, 20> kSignals = {{
    {"SIGHUP", 1},   {"SIGINT", 2},   {"SIGQUIT", 3},   {"SIGILL", 4},   {"SIGTRAP", 5},
    {"SIGABRT", 6},  {"SIGBUS", 7},   {"SIGFPE", 8},    {"SIGKILL", 9},  {"SIGUSR1", 10},
    {"SIGSEGV", 11}, {"SIGUSR2", 12}, {"SIGPIPE", 13},  {"SIGALRM", 14}, {"SIGTERM", 15},
    {"SIGXCPU", 24}, {"SIGXFSZ", 25}, {"SIGWINCH", 28}, {"SIGPWR", 30},  {"SIGSYS", 31},
}};

// The status Python cannot name has the core flag, 128, beside the signal.
constexpr int kCoreFlag = 128;

constexpr std::string_view kSmallLetters = "abcdefghijklmnopqrstuvwxyz";

// Before the level: "[2031-02-03 04:05:06 +0000] [31] ", in any state of damage.
void read_header(std::string_view before, Record& record) {
  while (before.ends_with(' ')) before.remove_suffix(1);
  if (!before.ends_with(']')) return;
  const std::size_t open = before.rfind('[');
  if (open == std::string_view::npos) return;
  std::string_view inside = before.substr(open + 1, before.size() - open - 2);
  std::string_view pid = inside;
  if (const auto number = take_number(pid, 9); number && pid.empty()) {
    record.column = *number;
    before = before.substr(0, open);
    while (before.ends_with(' ')) before.remove_suffix(1);
  }
  // The stamp ends here: with its bracket since 19, without before.
  const bool bracket = before.ends_with(']');
  const std::size_t from = before.size() > 32 ? before.size() - 32 : 0;
  for (std::size_t at = from; at + 19 <= before.size(); ++at) {
    if (!is_digit(before[at])) continue;
    std::string_view rest = before.substr(at);
    const auto iso = take_iso(rest);
    if (!iso || rest.size() != (bracket ? 1U : 0U)) continue;
    record.stamp = iso->stamp;
    const bool zoned = iso->stamp.clock == Clock::IsoZoned;
    record.stamp.clock = zoned ? Clock::RecordZoned : Clock::RecordNaive;
    if (bracket && at > 0 && before[at - 1] == '[') record.begin = at - 1;
    return;
  }
}

// "(pid:44)", "(pid: 44)", "pid 44", "pid: 44" from `at` on.
std::int64_t pid_from(std::string_view text, std::size_t at) {
  std::string_view rest = text.substr(at);
  const std::size_t pid = rest.find("pid");
  if (pid == std::string_view::npos || pid > 32) return -1;
  rest.remove_prefix(pid + 3);
  (void)take(rest, ":");
  take_blanks(rest);
  return take_number(rest, 9).value_or(-1);
}

// "customer wrote:" is a sentence's end; "till gunicorn.error:" and Flask's "in glogging:" are
// none.
bool ends_a_sentence(std::string_view before) {
  before.remove_suffix(1);
  const std::size_t blank = before.rfind(' ');
  const std::string_view name = before.substr(blank + 1);
  if (blank == std::string_view::npos || name.find_first_not_of(kSmallLetters) != name.npos)
    return false;
  before = before.substr(0, blank);
  const std::string_view word = before.substr(before.rfind(' ') + 1);
  return !word.empty() && word != "in" && word.find_first_not_of(kSmallLetters) == word.npos;
}

// Words of a record without its header count only where a message may begin: not inside quotes, a
// path or a sentence.
bool begins_message(std::string_view text, std::size_t at) {
  if (at == 0) return true;
  std::string_view before = text.substr(0, at);
  if (before.ends_with("\"")) return before.ends_with(":\"") || before.ends_with(": \"");
  if (std::count(before.begin(), before.end(), '"') % 2 == 1) return before.ends_with(": \"");
  const bool blank = before.ends_with(' ');
  while (before.ends_with(' ') || before.ends_with('\t')) before.remove_suffix(1);
  if (before.empty()) return true;
  const char last = before.back();
  if (last == ']' || last == '|' || last == '>') return true;
  if (last == ':') return !ends_a_sentence(before);
  if (blank && last == '-') return true;
  for (const std::string_view word :
       {"CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "Error:", "gunicorn.error", "glogging"})
    if (before.ends_with(word)) return true;
  return false;
}

void read_signal(std::string_view rest, Record& record) {
  int number = 0;
  if (take(rest, "code ")) {
    number = static_cast<int>(take_number(rest, 4).value_or(0));
    if (number > kCoreFlag) number -= kCoreFlag;
  } else {
    const std::size_t end = rest.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    for (const auto& [name, value] : kSignals)
      if (rest.substr(0, end) == name) number = value;
  }
  if (number == 0) return;
  record.number = number;
  record.kind = number == 9 ? Kind::Killed : Kind::Signalled;
  record.own_kill = contains(rest, "! By this server");
  record.after_timeout = record.own_kill && (contains(rest, "after the time-out") ||
                                             contains(rest, "the time-out is above") ||
                                             contains(rest, "the timed-out request above"));
  record.oom_denied =
      contains(rest, "OOM counter did not move") || contains(rest, "OOM counter rose for ");
  record.kernel_oom = contains(rest, "! Out of memory: killed by the kernel");
}

// What follows "… (pid:44) " in Tricorn's lines.
std::string_view behind_pid(std::string_view message) {
  const std::size_t close = message.find(") ");
  return close == std::string_view::npos ? std::string_view{} : message.substr(close + 2);
}

// "Worker (pid:44) is replaced: …", "… boots slowly: CLASS: …", "… CLASS: GET /x …".
void read_own_words_of_worker(std::string_view words, Record& record) {
  (void)take(words, "boots slowly: ");
  record.own = read_own_words(words);
  record.trouble = own_trouble_of_worker(words, record.path);
  if (record.own.meaning != nullptr || !record.trouble.empty()) record.kind = Kind::Told;
}

// "Worker (pid:44) was sent SIGKILL! …", "… exited with code 3."; "Worker with pid 44 was
// terminated due to signal 9".
void read_end(std::string_view message, Record& record) {
  record.by_arbiter = true;
  record.pid = pid_from(message, 0);
  if (record.pid < 0) return;
  if (const std::size_t sent = message.find("was sent ");
      sent != std::string_view::npos && sent < 48) {
    read_signal(message.substr(sent + 9), record);
  } else if (const std::size_t code = message.find("exited with code ");
             code != std::string_view::npos && code < 48) {
    std::string_view rest = message.substr(code + 17);
    const auto number = take_number(rest, 4);
    record.number = static_cast<int>(number.value_or(0));
    if (number) record.kind = Kind::Exited;
    // 3 and 4 are failures to boot.
    const bool unwanted = number && *number != 0 && *number != 3 && *number != 4;
    if (unwanted && contains(rest, "; ref ") && !contains(rest, "By this server"))
      record.trouble = "exit.code";
  } else if (const std::size_t end = message.find("terminated due to signal ");
             end != std::string_view::npos && end < 48) {
    std::string_view rest = message.substr(end + 25);
    record.number = static_cast<int>(take_number(rest, 3).value_or(0));
    if (record.number > kCoreFlag) record.number -= kCoreFlag;
    if (record.number > 0) record.kind = record.number == 9 ? Kind::Killed : Kind::Signalled;
  } else {
    read_own_words_of_worker(behind_pid(message), record);
  }
}

void read_timeout(std::string_view message, Record& record) {
  record.by_arbiter = true;
  record.pid = pid_from(message, 0);
  if (record.pid < 0) return;
  record.kind = Kind::Timeout;
  record.own = read_own_words(behind_pid(message));
}

void read_request_timeout(std::string_view message, Record& record) {
  read_timeout(message, record);
  if (record.kind == Kind::None) return;
  record.kind = record.own.meaning == nullptr ? Kind::None : Kind::RequestTimeout;
}

// "Slow request (pid:44) ended: …" says no more than the line before.
void read_slow_request(std::string_view message, Record& record) {
  read_request_timeout(message, record);
  if (record.kind != Kind::None) record.kind = Kind::SlowRequest;
}

void read_overload(std::string_view message, Record& record) {
  record.own = read_own_words(message);
  if (record.own.meaning != nullptr) record.kind = Kind::Told;
}

void read_failed_request(std::string_view message, Record& record) {
  record.kind = Kind::FailedRequest;
  record.pid = record.column;
  std::string_view rest = message.substr(std::string_view("Error handling request").size());
  rest = trimmed(rest);
  if (rest.starts_with("(no URI read)")) {
    record.no_uri = true;
    return;
  }
  std::string_view target = take_token(rest);
  const bool method = !target.empty() && target[0] >= 'A' && target[0] <= 'Z' &&
                      target.find('/') == std::string_view::npos;
  if (method) {
    take_blanks(rest);
    target = take_token(rest);
  }
  record.path = bare_path(target);
}

void read_signal_of_arbiter(std::string_view message, Record& record) {
  record.by_arbiter = true;
  const std::string_view name =
      trimmed(message.substr(std::string_view("Handling signal: ").size()));
  if (name == "term" || name == "int" || name == "quit") record.kind = Kind::StopSignal;
  if (name == "hup") record.kind = Kind::Reload;
  if (name == "ttin") record.kind = Kind::MoreWorkers;
}

struct Wording {
  Word word;
  Kind kind;
  bool by_arbiter;
  void (*read)(std::string_view message, Record& record);
};

void of_pid(std::string_view message, Record& record) {
  record.pid = pid_from(message, 0);
  if (record.pid < 0) record.kind = Kind::None;
}

void of_bracket(std::string_view message, Record& record) {
  std::string_view rest = message.substr(message.find('[') + 1);
  record.pid = take_number(rest, 9).value_or(-1);
  if (record.pid < 0) record.kind = Kind::None;
}

void of_column(std::string_view /*message*/, Record& record) { record.pid = record.column; }

void nothing_more(std::string_view /*message*/, Record& /*record*/) {}

void of_class(std::string_view message, Record& record) {
  if (!contains(message, "invalid or not found")) record.kind = Kind::None;
}

constexpr Wording kWordings[] = {
    {Word::WorkerTimeout, Kind::None, true, read_timeout},
    {Word::RequestTimeout, Kind::None, true, read_request_timeout},
    {Word::SlowRequest, Kind::None, true, read_slow_request},
    {Word::OverloadQueue, Kind::None, true, read_overload},
    {Word::WorkerParen, Kind::None, true, read_end},
    {Word::WorkerWithPid, Kind::None, true, read_end},
    {Word::Booting, Kind::Boot, false, of_pid},
    {Word::WorkerExiting, Kind::Leaving, false, of_pid},
    {Word::FailedRequest, Kind::FailedRequest, false, read_failed_request},
    {Word::StartingGunicorn, Kind::Start, true, nothing_more},
    {Word::StartingTricorn, Kind::Start, true, nothing_more},
    {Word::HandlingSignal, Kind::None, true, read_signal_of_arbiter},
    {Word::HangUp, Kind::Reload, true, nothing_more},
    {Word::AppStarted, Kind::AppStarted, false, of_column},
    {Word::AppStartupFailed, Kind::AppStartFailed, false, of_column},
    {Word::ServerProcess, Kind::ServerProcess, false, of_bracket},
    {Word::Autorestart, Kind::Autorestart, false, of_column},
    {Word::AutoRestartDash, Kind::Autorestart, false, of_column},
    {Word::WorkerReloading, Kind::Autorestart, false, of_column},
    {Word::BootException, Kind::BootException, false, of_column},
    {Word::FailedToBoot, Kind::BootFailed, true, nothing_more},
    {Word::AppFailed, Kind::BootFailed, true, nothing_more},
    {Word::ClassUri, Kind::BadClass, false, of_class},
    {Word::ReadConfigFailed, Kind::BadConfig, false, nothing_more},
    {Word::ListeningAt, Kind::Listening, true, nothing_more},
};

std::size_t level_at(const Hits& hits, std::string_view* level) {
  std::size_t best = std::string_view::npos;
  for (const auto& [word, text] : kLevels) {
    if (!hits.has(word) || hits.at(word) >= best) continue;
    best = hits.at(word);
    *level = text;
  }
  return best;
}

// "[31] WORKER TIMEOUT …" of Gunicorn's own syslog format: a pid, no level.
void read_syslog_pid(std::string_view text, std::size_t at, Record& record) {
  std::string_view before = text.substr(0, at);
  if (!before.starts_with('[') || !before.ends_with("] ")) return;
  before = before.substr(1, before.size() - 3);
  const auto number = take_number(before, 9);
  if (number && before.empty()) record.column = *number;
}

}  // namespace

std::optional<Record> read_record(std::string_view text, const Hits& hits) {
  Record record;
  std::string_view level;
  const std::size_t header = level_at(hits, &level);
  std::size_t message_at = 0;
  if (header != std::string_view::npos) {
    record.has_header = true;
    record.level = level.substr(1, level.size() - 2);
    read_header(text.substr(0, header), record);
    message_at = header + level.size();
    while (message_at < text.size() && text[message_at] == ' ') ++message_at;
  }
  record.message = text.substr(message_at);
  for (const Wording& wording : kWordings) {
    if (!hits.has(wording.word)) continue;
    const std::size_t at = hits.at(wording.word);
    if (at < message_at ||
        (wording.word == Word::WorkerTimeout && text.substr(0, at).ends_with("DIRTY ")))
      continue;
    const bool headed = record.has_header && at == message_at;
    const bool reason = record.has_header && text.substr(message_at).starts_with("Reason: ");
    const bool class_error = wording.kind == Kind::BadClass || wording.kind == Kind::BootFailed;
    if (!headed && !reason && !class_error && !begins_message(text, at)) continue;
    if (!record.has_header) read_syslog_pid(text, at, record);
    record.kind = wording.kind;
    record.by_arbiter = wording.by_arbiter;
    record.message = text.substr(at);
    wording.read(record.message, record);
    if (record.kind != Kind::None) return record;
  }
  if (!record.has_header) return std::nullopt;
  record.message = text.substr(message_at);
  if (record.level != "INFO" && record.level != "DEBUG") {
    record.own = slow_preload_in(record.message);
    if (record.own.meaning == nullptr) record.trouble = own_trouble_in(record.message, record.path);
  }
  if (record.own.meaning != nullptr || !record.trouble.empty()) record.kind = Kind::Told;
  return record;
}

std::size_t second_record(std::string_view text, const Hits& hits) {
  std::string_view level;
  const std::size_t first = level_at(hits, &level);
  if (first == std::string_view::npos) return std::string_view::npos;
  for (std::size_t at = first + level.size(); at + 21 < text.size(); ++at) {
    at = text.find("[20", at);
    if (at == std::string_view::npos) return at;
    std::string_view rest = text.substr(at + 1);
    if (text[at - 1] != ' ' && text[at - 1] != '"' && text[at - 1] != '\'' && take_iso(rest) &&
        rest.starts_with("] [")) {
      return at;
    }
  }
  return std::string_view::npos;
}

bool is_access_line(std::string_view text, const Hits& hits) {
  if (!hits.has(Word::Http)) return false;
  const std::size_t version = hits.at(Word::Http);
  const std::size_t close = text.find('"', version);
  if (close == std::string_view::npos || close - version > 9) return false;
  std::string_view status = text.substr(close + 1);
  (void)take(status, "\\");
  if (take_blanks(status) == 0) return false;
  const auto number = take_number(status, 3);
  if (!number || *number < 100 || *number > 599 || (!status.empty() && is_word(status[0])))
    return false;
  const std::size_t open = text.rfind('"', version);
  if (open == std::string_view::npos) return false;
  std::string_view target = text.substr(open + 1);
  std::size_t method = 0;
  while (method < target.size() && target[method] >= 'A' && target[method] <= 'Z') ++method;
  if (method < 3 || method > 10 || method >= target.size() || target[method] != ' ') return false;
  // urllib3's debug line: http://host:80 "GET /x HTTP/1.1" 200 2
  std::string_view before = trimmed(text.substr(0, open));
  const std::size_t scheme = before.rfind("://");
  return scheme == std::string_view::npos || before.find(' ', scheme) != std::string_view::npos;
}

std::string_view bare_path(std::string_view target) {
  if (const std::size_t scheme = target.find("://");
      scheme != std::string_view::npos && scheme < 8) {
    const std::size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find_first_of("?#"));
}

std::string_view signal_name(int number) {
  for (const auto& [name, value] : kSignals)
    if (value == number) return name;
  return {};
}

}  // namespace tricorn::control::doctor
