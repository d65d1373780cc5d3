#include "control/incident_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

namespace tricorn::control {
namespace {

using Json = nlohmann::json;

std::string text(const Json& incident, const char* name) {
  const auto found = incident.find(name);
  if (found == incident.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

base::Result<Json> parse(std::string_view line) {
  Json incident = Json::parse(line, nullptr, false);
  if (!incident.is_object() || !incident.contains("class"))
    return base::fail("not an incident of a Tricorn report");
  return incident;
}

void add(std::string& out, const char* label, const std::string& value) {
  if (!value.empty()) out += fmt::format("{:<11} {}\n", label, value);
}

}  // namespace

base::Result<std::string> explain(std::string_view line) {
  auto parsed = parse(line);
  if (!parsed) return base::Unexpected{parsed.error()};
  const Json& incident = *parsed;
  std::string out;
  add(out, "reference", text(incident, "ref"));
  add(out, "time", text(incident, "time"));
  add(out, "cause", fmt::format("{} ({})", text(incident, "class"), text(incident, "confidence")));
  add(out, "because", text(incident, "because"));
  add(out, "request", text(incident, "request"));
  if (incident.contains("in_flight") && incident["in_flight"].is_array()) {
    for (const Json& one : incident["in_flight"]) {
      const std::string place = text(one, "place");
      add(out, "in flight",
          fmt::format("{}, {} s{}{}", text(one, "request"), text(one, "seconds"),
                      place.empty() ? "" : ", last seen at ", place));
    }
  }
  add(out, "worker pid", text(incident, "pid"));
  add(out, "seconds", text(incident, "seconds"));
  const std::string function = text(incident, "function");
  add(out, "place", text(incident, "place") + (function.empty() ? "" : " in " + function));
  add(out, "peer", text(incident, "peer"));
  if (incident.contains("not") && incident["not"].is_array()) {
    for (const Json& no : incident["not"])
      add(out, "not", no.is_string() ? no.get<std::string>() : no.dump());
  }
  if (incident.contains("where") && incident["where"].is_array()) {
    for (const Json& share : incident["where"]) {
      add(out, "time",
          fmt::format("{}% at {} in {}", text(share, "percent"), text(share, "place"),
                      text(share, "function")));
    }
  }
  add(out, "ended", text(incident, "ended"));
  add(out, "threads", text(incident, "busy"));
  if (incident.contains("stack") && incident["stack"].is_array() && !incident["stack"].empty()) {
    out += "stack, innermost first\n";
    for (const Json& frame : incident["stack"]) {
      out += fmt::format("  {}:{} in {}\n", text(frame, "file"), text(frame, "line"),
                         text(frame, "function"));
    }
  }
  return out;
}

base::Result<std::vector<std::string>> find_incidents(const std::string& path,
                                                      std::string_view ref) {
  std::ifstream file(path);
  if (!file) return base::fail_errno("open '" + path + "'", errno);
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) {
    auto incident = parse(line);
    if (incident && (ref.empty() || text(*incident, "ref") == ref)) found.push_back(line);
  }
  return found;
}

}  // namespace tricorn::control
