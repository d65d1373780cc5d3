// The two ways a report is shown: JSON for machines, words for people.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/doctor/doctor.h"
#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kQuotedOfFinding = 6;
constexpr int kWidthMin = 40;

// Blank lines say nothing, so they are not missed.
std::uint64_t skipped(const Report& report) {
  const std::uint64_t read = report.known + report.blank;
  return report.lines > read ? report.lines - read : 0;
}

Json facts_json(const Facts& facts) {
  Json json;
  json["timeouts"] = facts.timeouts;
  json["sigkills"] = facts.sigkills;
  json["sigkills_own_after_timeout"] = facts.own_after_timeout;
  json["sigkills_own_at_shutdown"] = facts.own_at_shutdown;
  json["sigkills_oom"] = facts.oom;
  json["sigkills_unexplained"] = facts.unexplained;
  json["oom_kills"] = facts.oom_kills;
  json["boots"] = facts.boots;
  json["worker_exits"] = facts.worker_exits;
  json["distinct_workers"] = facts.distinct_workers;
  json["paths"] = Json::array();
  for (const std::string& path : facts.paths) json["paths"].push_back(path);
  json["startup_timeout"] = facts.startup_timeout ? Json(*facts.startup_timeout) : Json();
  json["stack_line"] = facts.stack_line.empty() ? Json() : Json(facts.stack_line);
  json["memory_evidence"] = facts.memory_evidence;
  json["boot_loop"] = facts.boot_loop;
  return json;
}

// Breaks `text` at blanks so that no line is wider than `width`; further lines are indented.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + word.size() > width) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string heading(std::string_view text, bool colour) {
  return colour ? fmt::format("\x1b[1m{}\x1b[0m\n", text) : fmt::format("{}\n", text);
}

std::string times(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string summary(const Report& report) {
  const Facts& facts = report.facts;
  std::string text = times(facts.timeouts, "worker timed out", "workers timed out");
  text += ", " + times(facts.sigkills, "SIGKILL was reported", "SIGKILLs were reported");
  if (facts.sigkills > 0) {
    std::string parts;
    const auto part = [&](std::uint64_t count, std::string_view words) {
      if (count == 0) return;
      if (!parts.empty()) parts += ", ";
      parts += fmt::format("{} {}", count, words);
    };
    part(facts.own_after_timeout, "sent by Gunicorn itself after a time-out");
    part(facts.own_at_shutdown, "sent by Gunicorn itself at shutdown");
    part(facts.oom, "by the kernel for memory");
    part(facts.unexplained, "unexplained");
    text += " (" + parts + ")";
  }
  if (facts.request_timeouts > 0)
    text += ", " + times(facts.request_timeouts, "request was ended by --request-timeout",
                         "requests were ended by --request-timeout");
  if (facts.clients_cut > 0)
    text += ", " + times(facts.clients_cut, "slow client was cut", "slow clients were cut");
  text += facts.memory_evidence ? "; memory was short for certain" : "; nothing shows short memory";
  if (facts.boot_loop) text += "; workers fail to boot again and again";
  return text + ".";
}

std::string span_of(const Finding& finding) {
  const std::string first = time_text(finding.first);
  const std::string last = time_text(finding.last);
  if (first.empty()) return "";
  return first == last ? first : first + " to " + last;
}

void add_table(const Report& report, std::string& out) {
  std::size_t width = 0;
  for (const Finding& finding : report.findings) width = std::max(width, finding.id.size());
  for (const Finding& finding : report.findings) {
    const std::string span = span_of(finding);
    out += fmt::format("  {:>6}  {:<{}}  {:<7}  {}\n", finding.count, finding.id, width,
                       finding.certain ? "certain" : "likely", span);
    while (out.ends_with(" \n")) out.erase(out.size() - 2, 1);
  }
}

void add_finding(const Report& report, const Finding& finding, std::size_t width, bool colour,
                 std::string& out) {
  out += heading(fmt::format("{} ({})", title_of(finding), finding.id), colour);
  if (!finding.detail.empty())
    out += "  e.g. " + wrapped(printable_part(finding.detail, kQuoteBytesMax), width, 7) + "\n";
  std::size_t shown = 0;
  for (const std::uint64_t line : finding.lines) {
    if (shown++ == kQuotedOfFinding) {
      out += fmt::format("  … and {} more lines\n", finding.lines.size() - kQuotedOfFinding);
      break;
    }
    const auto quoted = report.quotes.find(line);
    std::string text = quoted == report.quotes.end() ? "" : quoted->second;
    const std::size_t room = width > 12 ? width - 12 : 1;
    if (text.size() > room) text = printable_part(text, room - 1);
    out += fmt::format("  {:>8}: {}\n", line, text);
  }
}

}  // namespace

std::string to_json(const Report& report, std::string_view file, int indent) {
  Json json;
  if (!file.empty()) json["file"] = file;
  json["facts"] = facts_json(report.facts);
  json["findings"] = Json::array();
  for (const Finding& finding : report.findings) {
    Json one;
    one["id"] = finding.id;
    one["count"] = finding.count;
    one["lines"] = Json::array();
    for (const std::uint64_t line : finding.lines) one["lines"].push_back(line);
    one["advice"] = advice_of(finding, report.facts);
    one["confidence"] = finding.certain ? "certain" : "likely";
    if (const std::string first = time_text(finding.first); !first.empty()) {
      one["first"] = first;
      one["last"] = time_text(finding.last);
    }
    if (!finding.paths.empty()) one["paths"] = finding.paths;
    if (!finding.causes.empty()) one["causes"] = finding.causes;
    json["findings"].push_back(std::move(one));
  }
  if (report.facts.request_timeouts + report.facts.clients_cut > 0)
    json["tricorn"] = {{"request_timeouts", report.facts.request_timeouts},
                       {"clients_cut", report.facts.clients_cut}};
  json["input"] = {{"lines", report.lines}, {"skipped", skipped(report)}};
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string error_json(std::string_view file, std::string_view error) {
  return Json{{"file", file}, {"error", error}}.dump(-1, ' ', false,
                                                     Json::error_handler_t::replace);
}

std::string to_text(const Report& report, std::string_view file, int columns, bool colour) {
  const auto width = static_cast<std::size_t>(std::max(columns, kWidthMin));
  std::string out;
  if (!file.empty()) out += heading(file, colour);
  if (report.known == 0) return out + "No line of Gunicorn or of a platform is in this log.\n";
  out += wrapped(summary(report), width, 0) + "\n";
  const bool nothing = report.findings.size() == 1 && report.findings[0].id == "no_problem";
  if (nothing) {
    out += "No problem found.\n";
  } else {
    out += "\n" + heading("Causes", colour);
    add_table(report, out);
    out += "\n" + heading("Proof (line numbers of the log)", colour);
    for (const Finding& finding : report.findings) add_finding(report, finding, width, colour, out);
    bool unknown = false;
    for (const Finding& finding : report.findings)
      unknown |= finding.id == "cause_not_in_log" || !finding.certain;
    out += "\n" + heading("What remains unknown", colour);
    if (!unknown) out += "  Nothing: every finding rests on the quoted lines.\n";
    for (const Finding& finding : report.findings)
      if (finding.id == "cause_not_in_log" || !finding.certain)
        out += "  " +
               wrapped(fmt::format("{} ({}): {}", title_of(finding), finding.count,
                                   finding.id == "cause_not_in_log"
                                       ? "the log does not tell what these workers did"
                                       : "likely, not proven"),
                       width, 4) +
               "\n";
    out += "\n" + heading("What to do first", colour);
    std::size_t step = 0;
    for (const Finding& finding : report.findings)
      out += "  " +
             wrapped(fmt::format("{}. {}", ++step, advice_of(finding, report.facts)), width, 5) +
             "\n";
  }
  out += fmt::format("\n{} read, {} of them not understood and left out.\n",
                     times(report.lines, "line", "lines"), skipped(report));
  return out;
}

}  // namespace tricorn::control::doctor
