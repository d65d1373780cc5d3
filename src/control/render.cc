#include "control/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

double number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

const Json& part(const Json& object, const char* name) {
  static const Json kNone = Json::object();
  const auto found = object.find(name);
  return found == object.end() ? kNone : *found;
}

/// Characters, not bytes: names need not be ASCII.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void add(std::string& out, const char* label, const std::string& value) {
  out += fmt::format("{:<11} {}\n", label, value);
}

std::string incident_text(const Json& worker) {
  const Json& last = part(worker, "last_incident");
  if (!last.is_object() || last.empty()) return "-";
  return fmt::format("{} ({})", member(last, "class"), member(last, "ref"));
}

std::string place_of(const Json& request) {
  const std::string place = member(request, "place");
  const std::string function = member(request, "function");
  return place == "-" || function == "-" ? place : place + " in " + function;
}

std::string thread_heading(const Json& thread) {
  std::string text = fmt::format("  Thread {} \"{}\" {}", member(thread, "tid"),
                                 member(thread, "name"), member(thread, "state"));
  const std::string gil = member(thread, "gil");
  if (gil == "holds") text += ", holds the GIL";
  if (gil == "waits") text += ", waits for the GIL";
  if (const std::string wchan = member(thread, "wchan"); wchan != "-") text += ", in " + wchan;
  return text + "\n";
}

}  // namespace

std::string plain(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C1 controls are two bytes in UTF-8. Source: ECMA-48
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && (text[i + 1] & 0xE0) == 0x80;
    if (byte < 0x20 || byte == 0x7F) text[i] = '?';
    if (c1) text[i] = text[i + 1] = '?';
  }
  return text;
}

std::string member(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "-";
  return plain(found->is_string() ? found->get<std::string>() : found->dump());
}

std::string bytes_text(std::int64_t bytes) {
  if (bytes < 0) return "-";
  const auto size = static_cast<double>(bytes);
  if (bytes < 1 << 20) return fmt::format("{:.0f} kB", size / 1024);
  if (bytes < 1 << 30) return fmt::format("{:.1f} MB", size / (1 << 20));
  return fmt::format("{:.2f} GB", size / (1 << 30));
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(seconds);
  if (whole < 60) return fmt::format("{:.1f} s", seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

std::string table(const Rows& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out += line + "\n";
  }
  return out;
}

std::string render_status(const Json& status) {
  const Json& workers = part(status, "workers");
  const Json& requests = part(status, "requests");
  const Json& incidents = part(status, "incidents");
  std::string out;
  add(out, "server",
      fmt::format("tricorn {}, pid {}, {} for {}", member(status, "version"), member(status, "pid"),
                  member(status, "state"), duration_text(number(status, "uptime_s"))));
  add(out, "application", member(status, "app"));
  add(out, "listening", member(status, "listening"));
  add(out, "workers",
      fmt::format("{} of {} ready, {} booting, {} leaving; {}, {} thread{} each",
                  member(workers, "ready"), member(workers, "wanted"), member(workers, "booting"),
                  member(workers, "leaving"), member(status, "worker_class"),
                  member(status, "threads"), member(status, "threads") == "1" ? "" : "s"));
  add(out, "requests",
      fmt::format("{} running, {} queued, {} answered; {} connections", member(requests, "running"),
                  member(requests, "queued"), member(requests, "answered"),
                  member(status, "connections")));
  add(out, "time-out",
      number(status, "timeout_s") == 0 ? "none" : duration_text(number(status, "timeout_s")));
  std::string classes;
  for (const auto& [cause, count] : part(incidents, "by_class").items())
    classes += fmt::format("{}{} {}", classes.empty() ? ": " : ", ", count.dump(), plain(cause));
  add(out, "incidents", member(incidents, "total") + classes);
  if (member(status, "reload") != "none") add(out, "reload", member(status, "reload"));
  return out;
}

std::string render_workers(const Json& workers) {
  Rows rows = {{"PID", "AGE", "UP", "STATE", "REQUESTS", "RUNNING", "QUEUED", "RSS", "CPU",
                "LAST INCIDENT"}};
  for (const Json& worker : workers) {
    rows.push_back({member(worker, "pid"), member(worker, "age"),
                    duration_text(number(worker, "uptime_s")),
                    member(worker, "process_state") == "T" ? "stopped" : member(worker, "state"),
                    member(worker, "requests"),
                    fmt::format("{}/{}", member(worker, "running"), member(worker, "threads")),
                    member(worker, "queued"),
                    part(worker, "rss_bytes").is_number()
                        ? bytes_text(static_cast<std::int64_t>(number(worker, "rss_bytes")))
                        : "-",
                    duration_text(number(worker, "cpu_s")), incident_text(worker)});
  }
  return table(rows);
}

std::string render_requests(const Json& requests) {
  if (requests.empty()) return "no request is running\n";
  Rows rows = {{"SECONDS", "PID", "THREAD", "PHASE", "GIL", "REQUEST", "PLACE"}};
  for (const Json& request : requests) {
    const Json& late = part(request, "timed_out");
    const bool timed_out = late.is_boolean() && late.get<bool>();
    rows.push_back({fmt::format("{:.1f}", number(request, "seconds")), member(request, "pid"),
                    member(request, "thread"), timed_out ? "timed out" : member(request, "phase"),
                    member(request, "gil"), member(request, "request"), place_of(request)});
  }
  return table(rows);
}

std::string render_stacks(const Json& stacks) {
  std::string out;
  for (const Json& worker : part(stacks, "workers")) {
    const Json& collecting = part(worker, "gc");
    out += fmt::format(
        "Worker {}{}{}\n", member(worker, "pid"),
        member(worker, "python") == "read" ? "" : ", Python " + member(worker, "python"),
        collecting.is_boolean() && collecting.get<bool>() ? ", the garbage collector runs" : "");
    for (const Json& thread : part(worker, "threads")) {
      out += thread_heading(thread);
      for (const Json& frame : part(thread, "stack")) {
        out += fmt::format("      {} ({}:{})\n", member(frame, "function"), member(frame, "file"),
                           member(frame, "line"));
      }
    }
  }
  if (const double left = number(stacks, "left_out"); left > 0)
    out += fmt::format("{:.0f} more workers: tricornctl stacks PID\n", left);
  return out.empty() ? "no worker is running\n" : out;
}

std::string render_incidents(const Json& incidents) {
  if (incidents.empty()) return "no incident since the server started\n";
  Rows rows = {{"TIME", "CLASS", "SECONDS", "REQUEST", "PLACE", "REF"}};
  for (const Json& incident : incidents) {
    const bool slow = member(incident, "event") == "slow_request";
    rows.push_back({member(incident, "time"), (slow ? "slow: " : "") + member(incident, "class"),
                    fmt::format("{:.1f}", number(incident, "seconds")), member(incident, "request"),
                    member(incident, "place"), member(incident, "ref")});
  }
  return table(rows);
}

}  // namespace tricorn::control
