#include "diagnose/report.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <string_view>

#include "diagnose/frames.h"

namespace tricorn::diagnose {
namespace {

constexpr std::size_t kSourceLineMax = 200;  // characters of a source line in a traceback
constexpr std::size_t kRepeatsShown = 3;     // of a frame that calls itself, as Python prints it
constexpr int kSourceLinesRead = 20000;      // lines of a source file that are looked through

std::string at_text(const Verdict& verdict) {
  if (verdict.place.empty()) return "";
  const std::string function = verdict.function.empty() ? "" : " in " + printable(verdict.function);
  return fmt::format(" at {}{}", printable(verdict.place), function);
}

/// The innermost frame's function, when it is not the one at the place.
std::string innermost_text(const Verdict& verdict) {
  return verdict.innermost.empty() ? "" : fmt::format(" (in {})", printable(verdict.innermost));
}

std::string hint_text(const Verdict& verdict) {
  return verdict.hint.empty() ? "" : "; see: " + printable(verdict.hint);
}

/// What else took a notable part of the request.
std::string otherwise_text(const Verdict& verdict) {
  return verdict.otherwise.empty() ? "" : "; " + printable(verdict.otherwise);
}

/// The strongest denials, short: people suspect memory first. Not said where it is what lacks,
/// though the kernel has killed nobody for it.
std::string denial_text(const Verdict& verdict) {
  const bool lacks_memory = name_of(verdict.cause).starts_with("memory.");
  std::string text;
  for (const std::string& entry : verdict.not_causes) {
    const std::string_view denied = entry;
    const bool memory = !lacks_memory && denied.starts_with("memory.oom_kill") &&
                        denied.find("not readable") == std::string_view::npos;
    if (memory) text += "; not memory";
    if (denied.starts_with("cpu.python: ")) text += (text.empty() ? "; " : ", ") + entry.substr(12);
  }
  return text;
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

std::string since_text(const std::string& request, std::int64_t running_ns) {
  return fmt::format("{} since {:.1f} s", printable(request),
                     static_cast<double>(running_ns) / 1e9);
}

/// "; in 2 requests: GET /a since 1.3 s (last seen at app.py:9 in wait), GET /b since 0.2 s".
std::string all_in_flight(const std::vector<InFlight>& requests) {
  constexpr std::size_t kShown = 8;
  std::string text = fmt::format("; in {} requests: ", requests.size());
  for (std::size_t i = 0; i < std::min(requests.size(), kShown); ++i) {
    text += (i == 0 ? "" : ", ") + since_text(requests[i].request, requests[i].running_ns);
    if (!requests[i].place.empty())
      text += fmt::format(" (last seen at {})", printable(requests[i].place));
  }
  if (requests.size() > kShown) text += fmt::format(" and {} more", requests.size() - kShown);
  return text;
}

/// Where the worker was, for a death: with the place when there is a stack, else the request alone.
std::string death_place(const Verdict& verdict, const Evidence& evidence) {
  std::string text = at_text(verdict);
  if (verdict.cause == Cause::BootFailure) return text;
  if (!text.empty()) text = ", last seen" + text;
  if (!evidence.in_flight.empty()) return text + all_in_flight(evidence.in_flight);
  if (evidence.request.empty()) return text;
  return text + "; in " + since_text(evidence.request, evidence.running_ns);
}

std::string source_line(const PythonFrame& frame) {
  if (!frame.file.starts_with('/')) return "";
  std::ifstream file(frame.file);
  std::string line;
  const int wanted = std::min(frame.line, kSourceLinesRead);
  for (int number = 0; number < wanted; ++number) {
    if (!std::getline(file, line)) return "";
  }
  if (wanted != frame.line) return "";
  line.erase(0, std::min(line.find_first_not_of(" \t"), line.size()));
  return printable(line.substr(0, kSourceLineMax));
}

std::string repeated_text(std::size_t times) {
  return fmt::format("  [Previous line repeated {} more time{}]\n", times, times == 1 ? "" : "s");
}

const std::vector<PythonFrame>* stack_of(const ProcessLook& look) {
  return look.threads.empty() || look.threads[0].stack.empty() ? nullptr : &look.threads[0].stack;
}

/// Bytes of one UTF-8 character at the start of `text`; 0 when there is no valid one.
/// Source: RFC 3629 section 4
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool outside = (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  // C1 controls too: some terminals obey them. Source: ECMA-48
  return first < 0x20 || first == 0x7F ||
         (first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character_bytes(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    if (length == 0 || is_control(character) || character == "\\") {
      for (const char byte : character)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string log_tail(const Verdict& verdict, const Evidence& evidence, std::string_view ref) {
  const std::string request = evidence.request.empty() ? "" : printable(evidence.request) + " ";
  return fmt::format("{}: {}{}{}{}{}{}{}; ref {}", name_of(verdict.cause), request,
                     printable(verdict.because), at_text(verdict), innermost_text(verdict),
                     otherwise_text(verdict), denial_text(verdict), hint_text(verdict), ref);
}

std::string timeout_line(const Verdict& verdict, const Evidence& evidence, std::string_view ref) {
  return fmt::format("WORKER TIMEOUT (pid:{}) {}", evidence.pid, log_tail(verdict, evidence, ref));
}

std::string_view slow_name_of(Cause cause) {
  return cause == Cause::TimeoutTooShort ? "advancing" : name_of(cause);
}

std::string slow_line(const Verdict& verdict, const Evidence& evidence, std::string_view busy,
                      std::string_view ref) {
  return fmt::format("Slow request (pid:{}) {}: {} running {:.1f} s, {}{}{}{}{}{}; ref {}",
                     evidence.pid, slow_name_of(verdict.cause), printable(evidence.request),
                     static_cast<double>(evidence.running_ns) / 1e9, printable(verdict.because),
                     at_text(verdict), otherwise_text(verdict), denial_text(verdict),
                     busy.empty() ? "" : "; ", busy, ref);
}

std::string slow_end_line(const Evidence& evidence, const TimeByStack& time, std::string_view ref) {
  constexpr std::size_t kPlacesShown = 3;
  return fmt::format("Slow request (pid:{}) ended: {} took {:.1f} s, {}; ref {}", evidence.pid,
                     printable(evidence.request), static_cast<double>(evidence.running_ns) / 1e9,
                     shares_text(time.places(kPlacesShown)), ref);
}

std::string cut_line(const Verdict* verdict, const Evidence& evidence, std::string_view when,
                     std::string_view ref) {
  std::string cause;
  if (verdict != nullptr) {
    cause = fmt::format("; {}: {}{}{}{}{}{}", name_of(verdict->cause), printable(verdict->because),
                        at_text(*verdict), innermost_text(*verdict), otherwise_text(*verdict),
                        denial_text(*verdict), hint_text(*verdict));
  }
  return fmt::format("Worker (pid:{}) cut at {}: {} had run {:.1f} s{}; ref {}", evidence.pid, when,
                     printable(evidence.request), static_cast<double>(evidence.running_ns) / 1e9,
                     cause, ref);
}

std::string death_line(const Verdict& verdict, const Evidence& evidence, std::string_view ref) {
  const int status = evidence.death ? evidence.death->wait_status : 0;
  const std::string how = WIFSIGNALED(status)
                              ? fmt::format("was sent {}!", signal_name(WTERMSIG(status)))
                              : fmt::format("exited with code {}.", WEXITSTATUS(status));
  const std::string place =
      verdict.cause == Cause::KilledByUs ? "" : death_place(verdict, evidence);
  return fmt::format("Worker (pid:{}) {} {}{}{}; ref {}", evidence.pid, how,
                     printable(verdict.because), place, hint_text(verdict), ref);
}

InFlight in_flight_of(const Evidence& evidence) {
  InFlight one{evidence.request, evidence.running_ns, ""};
  if (const PythonFrame* frame = place_in(last_stack(evidence)); frame != nullptr)
    one.place = place_text(*frame, evidence.app_directory) + " in " + frame->function;
  return one;
}

std::string request_line(const Evidence& evidence) {
  return "Error handling request " + printable(evidence.request);
}

std::string traceback_text(const std::vector<PythonFrame>& stack) {
  if (stack.empty()) return "";
  std::string text = "Traceback (most recent call last):\n";
  std::size_t repeated = 0;
  for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame) {
    repeated = frame != stack.rbegin() && *frame == *(frame - 1) ? repeated + 1 : 0;
    if (repeated >= kRepeatsShown) {
      const bool last = frame + 1 == stack.rend() || *(frame + 1) != *frame;
      if (last) text += repeated_text(repeated - kRepeatsShown + 1);
      continue;
    }
    text += fmt::format("  File \"{}\", line {}, in {}\n", printable(frame->file), frame->line,
                        printable(frame->function));
    const std::string source = source_line(*frame);
    if (!source.empty()) text += fmt::format("    {}\n", source);
  }
  return text;
}

const std::vector<PythonFrame>& last_stack(const Evidence& evidence) {
  static const std::vector<PythonFrame> kNone;
  for (const auto* looks : {&evidence.looks, &evidence.samples}) {
    for (auto look = looks->rbegin(); look != looks->rend(); ++look) {
      if (const auto* stack = stack_of(*look)) return *stack;
    }
  }
  return evidence.death ? evidence.death->boot_stack : kNone;
}

}  // namespace tricorn::diagnose
