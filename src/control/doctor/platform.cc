// What platforms, kernels and command lines say around Gunicorn's records.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "control/doctor/reading.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// A stop or a reason this near an exit code 137 explains it.
constexpr std::uint64_t kLinesAround = 60;
constexpr double kSecondsAround = 120;
// In the output of describe and inspect the reason stands a few lines from the code.
constexpr std::uint64_t kReasonLines = 15;
constexpr double kH12Seconds = 60;
constexpr std::size_t kContainersMax = 4'096;

std::string_view after_key(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  std::string_view rest = text.substr(at + key.size());
  take_blanks(rest);
  const bool quoted = take(rest, "\"");
  return rest.substr(0, rest.find_first_of(quoted ? "\"" : " ,"));
}

bool is_exit_137(std::string_view text, std::size_t at) {
  if (at + 3 < text.size() && (is_word(text[at + 3]) || text[at + 3] == '.')) return false;
  std::string_view before = text.substr(0, at);
  while (!before.empty() && (before.back() == ' ' || before.back() == ':' || before.back() == '=' ||
                             before.back() == '"' || before.back() == '('))
    before.remove_suffix(1);
  for (const std::string_view word : {"status", "Exit Code", "exit code", "exitCode", "ExitCode",
                                      "exit status", "exited with code", "Exited"})
    if (before.ends_with(word)) return true;
  return false;
}

// "Reason: OOMKilled", "reason":"OOMKilled", and the column of kubectl get pods after "0/1".
bool is_reason(std::string_view text, std::size_t at) {
  std::string_view before = text.substr(0, at);
  while (!before.empty() && (before.back() == ' ' || before.back() == '"' || before.back() == ':' ||
                             before.back() == '=' || before.back() == '(' || before.back() == '\t'))
    before.remove_suffix(1);
  if (before.ends_with("eason")) return true;
  const std::size_t slash = before.rfind('/');
  return slash != std::string_view::npos && slash > 0 && is_digit(before[slash - 1]) &&
         before.find_first_not_of("0123456789", slash + 1) == std::string_view::npos;
}

// A client's address, or the words of Redis, PostgreSQL, Node and nginx for their own listeners.
bool is_other_listener(std::string_view text) {
  for (const std::string_view words :
       {"connecting to", "ConnectionError", "NewConnectionError", "urlopen",
        "Could not create server TCP", "could not bind IPv", "EADDRINUSE", " bind() to "})
    if (contains(text, words)) return true;
  return false;
}

bool around(const Mark& left, const Mark& right) {
  if (!left || !right) return false;
  const std::uint64_t lines = std::max(left.line, right.line) - std::min(left.line, right.line);
  const auto apart = seconds_between(left.when, right.when);
  return lines <= kLinesAround && (!apart || std::abs(*apart) <= kSecondsAround);
}

}  // namespace

void Reading::note_platform_signs(std::string_view text, const Hits& hits) {
  if (hits.has(Word::Running)) other_platform_ = true;
  if (app_service_) return;
  bool sign = hits.has(Word::AppService) || hits.has(Word::AppCommandLine) ||
              hits.has(Word::OryxLower) || hits.has(Word::OryxUpper) ||
              hits.has(Word::AzureSites) || hits.has(Word::WwwRoot) || hits.has(Word::SiteStart);
  if (hits.has(Word::Website)) sign |= contains(text, "WEBSITE_") || contains(text, "WEBSITES_");
  if (sign) app_service_ = here_;
}

bool Reading::read_platform(std::string_view text, const Line& line, const Hits& hits,
                            bool in_request) {
  const std::uint64_t hash = std::hash<std::string_view>{}(text)*31 + source_of(line) * 7 +
                             static_cast<std::uint64_t>(line.wrapper.ms);
  bool told = false;
  bool checked = false;
  bool copy = false;
  const auto once = [&] {
    if (!checked) copy = is_copy(hash, line.wrapper.clock != Clock::None);
    checked = true;
    told = true;
    return !copy;
  };
  if ((hits.has(Word::SiteStart) || hits.has(Word::StartSite) || hits.has(Word::Pings) ||
       hits.has(Word::CrashLoop) || hits.has(Word::HerokuR10) || hits.has(Word::HerokuH20) ||
       hits.has(Word::HerokuH20Old)) &&
      once()) {
    quote(number_, text);
    findings_.add("site_start_failed", {here_});
  }
  const bool in_use = hits.has(Word::ConnectionInUse) || hits.has(Word::AddressInUse) ||
                      hits.has(Word::AddressInUseLower) || hits.has(Word::Errno98);
  if (in_use && !in_request && !is_other_listener(text) && once()) {
    quote(number_, text);
    findings_.add("port_in_use", {here_});
  }
  if (hits.has(Word::Exit137) && is_exit_137(text, hits.at(Word::Exit137)) &&
      !hits.has(Word::WorkerParen) && once())
    on_exit_137(text, hits);
  if (hits.has(Word::Sigterm) || hits.has(Word::HerokuR12) || hits.has(Word::DockerStop) ||
      hits.has(Word::GracefullyStopping) || hits.has(Word::StoppingContainer) ||
      hits.has(Word::LivenessLower) || hits.has(Word::LivenessUpper))
    on_stop_sign();
  if (read_heroku(text, line, hits)) told = true;
  if (read_memory(text, line, hits)) told = true;
  return told;
}

void Reading::on_exit_137(std::string_view text, const Hits& hits) {
  quote(number_, text);
  const auto reason_near = [&](const Mark& reason) {
    return reason && number_ - reason.line <= kReasonLines;
  };
  if (hits.has(Word::OomKilledReason) || reason_near(oom_reason_) || reason_near(not_oom_)) return;
  if (around(stop_sign_, here_)) return;
  if (exits_137_.size() < kRecentMax) exits_137_.push_back(here_);
}

void Reading::on_stop_sign() {
  stop_sign_ = here_;
  std::erase_if(exits_137_, [&](const Mark& exit) { return around(exit, stop_sign_); });
}

bool Reading::read_heroku(std::string_view text, const Line& line, const Hits& hits) {
  const std::uint64_t hash = std::hash<std::string_view>{}(text)*37 + source_of(line) +
                             static_cast<std::uint64_t>(line.wrapper.ms);
  const bool stamped = line.wrapper.clock != Clock::None;
  const bool old_h12 = hits.has(Word::HerokuH12Old);
  const bool new_h12 = hits.has(Word::HerokuH12) &&
                       (line.origin == Origin::HerokuRouter || contains(text, "at=error"));
  if (old_h12 || new_h12) {
    if (!is_copy(hash, stamped))
      on_h12(text, line, hits.at(old_h12 ? Word::HerokuH12Old : Word::HerokuH12));
    return true;
  }
  Dyno* dyno = nullptr;
  if (line.heroku) {
    const std::uint32_t source = source_of(line);
    if (dynos_.size() < kSourcesMax || dynos_.count(source) > 0) dyno = &dynos_[source];
  }
  const bool r14 = hits.has(Word::HerokuR14);
  const bool r15 = hits.has(Word::HerokuR15);
  if (r14 || r15) {
    report_.facts.memory_evidence = true;
    if (is_copy(hash, stamped)) return true;
    quote(number_, text);
    findings_.add("memory_pressure", {here_});
    if (r15 && dyno != nullptr) *dyno = Dyno{here_, false};
    return true;
  }
  if (dyno == nullptr || line.origin != Origin::HerokuPlatform) return false;
  if (hits.has(Word::Sigterm) || hits.has(Word::HerokuR12)) dyno->stopping = true;
  if (contains(text, "State changed from") && !contains(text, "to crashed")) *dyno = Dyno{};
  if (!hits.has(Word::Sigkill) || !dyno->r15 || dyno->stopping) return false;
  quote(number_, text);
  ++platform_oom_kills_;
  oom_proof_.push_back(dyno->r15);
  oom_proof_.push_back(here_);
  oom_reason_ = here_;
  dyno->r15 = Mark{};
  return true;
}

void Reading::on_h12(std::string_view text, const Line& line, std::size_t at) {
  Request request;
  request.mark = here_;
  const std::string_view dyno = after_key(text, "dyno=");
  request.any_source = dyno.empty();
  request.source = dyno.empty() ? source_of(line) : lives_.source(dyno);
  source_known_ = false;
  std::string_view target = after_key(text, "path=");
  if (target.empty()) {
    // Before 2012: Error H12 (Request timeout) -> GET till.example/invoices dyno=web.1
    std::string_view rest = text.substr(at);
    const std::size_t arrow = rest.find("-> ");
    if (arrow != std::string_view::npos) {
      rest.remove_prefix(arrow + 3);
      (void)take_token(rest);
      take_blanks(rest);
      const std::string_view whole = take_token(rest);
      const std::size_t slash = whole.find('/');
      if (slash != std::string_view::npos) target = whole.substr(slash);
    }
  }
  request.path = std::string(bare_path(target).substr(0, kFrameTextMax));
  if (report_.quotes.size() < kQuotesMax)
    report_.quotes.try_emplace(number_, "H12 Request timeout: " + request.path +
                                            (dyno.empty() ? "" : " on " + std::string(dyno)));
  if (!request.path.empty() && report_.facts.paths.size() < kPathsMax)
    report_.facts.paths.insert(request.path);
  findings_.add("frontend_limit_30", {here_});
  for (const Ended& ended : timeouts_) match_h12(request, ended);
  h12s_.push_back(std::move(request));
  if (h12s_.size() > kRecentMax) h12s_.pop_front();
}

void Reading::match_h12(const Request& request, const Ended& ended) {
  if (!request.any_source && request.source != ended.source) return;
  const auto apart = seconds_between(request.mark.when, ended.mark.when);
  if (apart && std::abs(*apart) > kH12Seconds) return;
  if (!apart && (request.mark.when.known() || ended.mark.when.known())) return;
  Life* life = lives_.by_id(ended.life);
  if (life == nullptr) return;
  life->h12 = true;
  if (request.path.empty()) return;
  Finding& finding = findings_.add("timeout_too_short_for_path", {request.mark, ended.mark});
  if (finding.paths.size() < kPathsMax) ++finding.paths[request.path];
}

// A container that its platform says was killed for memory.
void Reading::on_platform_oom(std::string_view text, const Line& line) {
  report_.facts.memory_evidence = true;
  oom_reason_ = here_;
  std::erase_if(exits_137_, [&](const Mark& one) { return number_ - one.line <= kReasonLines; });
  const std::uint64_t hash =
      std::hash<std::string_view>{}(text)*41 + static_cast<std::uint64_t>(line.wrapper.ms);
  const bool known = !container_.empty() && !oom_containers_.insert(container_).second;
  if (oom_containers_.size() > kContainersMax) oom_containers_.clear();
  if (is_copy(hash, line.wrapper.clock != Clock::None) || known) return;
  quote(number_, text);
  ++platform_oom_kills_;
  oom_proof_.push_back(here_);
  if (oom_proof_.size() > kRecentMax) oom_proof_.pop_back();
}

bool Reading::read_memory(std::string_view text, const Line& line, const Hits& hits) {
  if (hits.has(Word::ContainerId)) container_ = after_key(text, "Container ID:");
  if (hits.has(Word::InspectId)) container_ = after_key(text, "\"Id\":");
  bool told = false;
  if (victims_.read(text, hits, here_, line.origin == Origin::Kernel)) {
    told = true;
    report_.facts.memory_evidence = true;
    quote(number_, text);
    oom_reason_ = here_;
  }
  if (hits.has(Word::EcsMemory)) {
    told = true;
    on_platform_oom(text, line);
  }
  if (hits.has(Word::OomKilledReason)) {
    const std::string_view after = text.substr(hits.at(Word::OomKilledReason) + 9);
    const bool flag = after.starts_with("\":") || after.starts_with(":") || after.starts_with("=");
    if (flag && contains(after, "false")) {
      not_oom_ = here_;
      std::erase_if(exits_137_,
                    [&](const Mark& one) { return number_ - one.line <= kReasonLines; });
      return true;
    }
    if (!flag && !is_reason(text, hits.at(Word::OomKilledReason))) return told;
    told = true;
    on_platform_oom(text, line);
  }
  // Cloud Run's and App Engine's: "Memory limit of 512 MiB exceeded with 520 MiB used."
  const bool limit = (hits.has(Word::MemoryLimit) && contains(text, " exceeded with ")) ||
                     hits.has(Word::SoftMemoryLimit) || hits.has(Word::HardMemoryLimit);
  if (limit || tells_memory_error(text, hits) || hits.has(Word::CannotAllocate)) {
    told = true;
    report_.facts.memory_evidence = true;
    const std::uint64_t hash =
        std::hash<std::string_view>{}(text)*43 + static_cast<std::uint64_t>(line.wrapper.ms);
    if (!is_copy(hash, line.wrapper.clock != Clock::None)) {
      quote(number_, text);
      findings_.add("memory_pressure", {here_});
    }
  }
  if (hits.has(Word::Segfault) && line.origin == Origin::Kernel) {
    // "python3[44]: segfault at 0 ip …": before 20 Gunicorn logs nothing of it.
    const std::size_t open = text.find('[');
    std::string_view rest = open == std::string_view::npos ? "" : text.substr(open + 1);
    const auto pid = take_number(rest, 9);
    told = true;
    if (pid)
      lives_.for_each([&](Life& life) {
        if (life.pid != *pid || life.ended()) return;
        lives_.note_end(life);
        life.signalled = here_;
        life.signal = 11;
      });
    quote(number_, text);
  }
  return told;
}

bool Reading::read_settings(std::string_view text, const Line& /*line*/, const Hits& hits,
                            bool record) {
  if (const auto printed = printed_.read(text, hits)) {
    other_timeout_ = printed;
    timeout_ = printed;
    timeout_by_command_ = false;
    any_timeout_set_ = true;
    return true;
  }
  if (record || hits.has(Word::FrameFile)) return false;
  constexpr int kContinuedLinesMax = 32;
  std::string whole = std::exchange(continued_, "");
  if (!whole.empty() && ++continued_lines_ <= kContinuedLinesMax) {
    whole.append(" ").append(trimmed(text));
    const Hits all = scan(whole);
    set_command(find_command_variable(whole, all), find_command(whole, all));
  } else {
    const auto variable = find_command_variable(text, hits);
    const auto command = find_command(text, hits);
    if (!variable && !command) return false;
    continued_lines_ = 0;
    command_ = here_;
    whole = text;
    set_command(variable, command);
  }
  if (trimmed(whole).ends_with('\\') && whole.size() < kLineBytesMax) {
    continued_ = trimmed(whole);
    continued_.pop_back();
  }
  return true;
}

void Reading::set_command(const std::optional<Command>& variable,
                          const std::optional<Command>& command) {
  command_has_timeout_ = command_has_config_ = false;
  std::optional<std::int64_t> value;
  command_text_.clear();
  for (const auto* one : {&variable, &command}) {
    if (!*one) continue;
    command_has_timeout_ |= (*one)->has_timeout;
    command_has_config_ |= (*one)->has_config;
    if ((*one)->has_timeout) value = (*one)->timeout;
    command_text_ += (command_text_.empty() ? "" : " ") + (*one)->shown;
  }
  if (variable && variable->has_timeout) {
    other_timeout_ = variable->timeout;
    any_timeout_set_ = true;
  }
  if (variable && variable->has_config) any_timeout_set_ = true;
  if (command_has_timeout_) {
    timeout_ = value;
    timeout_by_command_ = true;
  } else if (timeout_by_command_ || !timeout_) {
    timeout_ = other_timeout_;
    timeout_by_command_ = false;
  }
  report_.quotes[command_.line] = printable_part(command_text_, kQuoteBytesMax);
}

}  // namespace tricorn::control::doctor
