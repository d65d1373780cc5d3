#include "worker/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "config/logging.h"

namespace tricorn::worker {
namespace {

using Json = nlohmann::ordered_json;
using gateway::wsgi::HeaderMap;

std::int64_t number(const Json& settings, const char* name) {
  return settings.at(name).get<std::int64_t>();
}

std::string text(const Json& settings, const char* name) {
  const Json& value = settings.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

std::int64_t nanoseconds(const Json& settings, const char* name) {
  return number(settings, name) * 1'000'000'000;
}

http::Limits limits_of(const Json& settings) {
  http::Limits limits;
  limits.request_line_bytes_max = static_cast<std::size_t>(number(settings, "limit_request_line"));
  limits.fields_max = static_cast<std::size_t>(number(settings, "limit_request_fields"));
  limits.field_bytes_max = static_cast<std::size_t>(number(settings, "limit_request_field_size"));
  limits.permit_obsolete_folding = settings.at("permit_obsolete_folding").get<bool>();
  limits.strip_header_spaces = settings.at("strip_header_spaces").get<bool>();
  limits.permit_unconventional_http_method =
      settings.at("permit_unconventional_http_method").get<bool>();
  limits.permit_unconventional_http_version =
      settings.at("permit_unconventional_http_version").get<bool>();
  limits.casefold_http_method = settings.at("casefold_http_method").get<bool>();
  return limits;
}

LoopOptions loop_of(const Json& settings) {
  LoopOptions loop;
  loop.limits = limits_of(settings);
  loop.client.body_ms = static_cast<int>(number(settings, "body_timeout") * 1000);
  loop.client.write_ms = static_cast<int>(number(settings, "write_timeout") * 1000);
  loop.header_timeout_ns = nanoseconds(settings, "header_timeout");
  loop.keepalive_ns = nanoseconds(settings, "keepalive");
  loop.connections_max = static_cast<std::uint32_t>(number(settings, "worker_connections"));
  return loop;
}

std::int64_t optional_id(const Json& settings, const char* name) {
  return settings.at(name).is_null() ? -1 : settings.at(name).get<std::int64_t>();
}

HeaderMap header_map_of(const std::string& name) {
  if (name == "refuse") return HeaderMap::Refuse;
  return name == "dangerous" ? HeaderMap::Dangerous : HeaderMap::Drop;
}

gateway::wsgi::TrustRules trust_of(const Json& settings) {
  gateway::wsgi::TrustRules trust;
  trust.header_map = header_map_of(text(settings, "header_map"));
  for (const Json& name : settings.at("forwarder_headers")) {
    if (name == "*") trust.forward_all = true;
    trust.forwarder_headers.push_back(name.get<std::string>());
  }
  for (const auto& [name, value] : settings.at("secure_scheme_headers").items()) {
    trust.secure_scheme_headers.emplace_back(name, value.get<std::string>());
  }
  return trust;
}

// Once per worker, so that workers started together do not all leave together.
std::uint64_t requests_max_of(const Json& settings, std::uint32_t age) {
  const auto most = static_cast<std::uint64_t>(number(settings, "max_requests"));
  const auto jitter = static_cast<std::uint64_t>(number(settings, "max_requests_jitter"));
  if (most == 0 || jitter == 0) return most;
  std::mt19937_64 generator(std::random_device{}() + age);
  return most + std::uniform_int_distribution<std::uint64_t>(0, jitter)(generator);
}

base::Result<void> read_peers(const Json& settings, const char* name, TrustedPeers& into) {
  const Json& value = settings.at(name);
  if (!value.is_array()) return into.parse(name, value.get<std::string>());
  std::string list;
  for (const Json& one : value) list += one.get<std::string>() + ",";
  return into.parse(name, list);
}

http::ProxyMode proxy_mode_of(const std::string& name) {
  if (name == "v1") return http::ProxyMode::V1;
  if (name == "v2") return http::ProxyMode::V2;
  return name == "auto" ? http::ProxyMode::Auto : http::ProxyMode::Off;
}

void read_sinks(const Json& settings, Options& options) {
  const bool python = config::wants_python_log(settings);  // which has its own way to them
  if (!python) {
    options.statsd = {text(settings, "statsd_host"), text(settings, "statsd_prefix"),
                      text(settings, "dogstatsd_tags")};
  }
  if (python || !settings.at("syslog").get<bool>()) return;
  options.syslog = {text(settings, "syslog_addr"), text(settings, "syslog_facility"),
                    config::syslog_ident(settings, "error")};
  if (settings.at("disable_redirect_access_to_syslog").get<bool>()) return;
  options.access_syslog = options.syslog;
  options.access_syslog.ident = config::syslog_ident(settings, "access");
}

Options parse(const Json& settings, std::uint32_t age) {
  Options options;
  options.loop = loop_of(settings);
  options.threads =
      static_cast<std::uint32_t>(std::max<std::int64_t>(number(settings, "threads"), 1));
  options.multithread = text(settings, "worker_class") == "gthread";
  options.multiprocess = number(settings, "workers") > 1;
  options.loop.shared_listeners = options.multiprocess;
  options.requests_max = requests_max_of(settings, age);
  options.graceful_timeout = std::chrono::seconds(number(settings, "graceful_timeout"));
  options.error_log = config::error_log_of(settings);
  options.access_log.style = options.error_log.style;
  read_sinks(settings, options);
  options.capture_output =
      settings.at("capture_output").get<bool>() && options.error_log.path != "-";
  options.access_log.path = text(settings, "accesslog");
  options.access_log.format = text(settings, "access_log_format");
  options.identity = {optional_id(settings, "user"), optional_id(settings, "group")};
  options.trust = trust_of(settings);
  if (const char* script_name = std::getenv("SCRIPT_NAME")) options.script_name = script_name;
  return options;
}

}  // namespace

base::Result<Options> options_from_json(std::string_view json, std::uint32_t age) {
  try {
    const Json settings = Json::parse(json);
    Options options = parse(settings, age);
    options.loop.proxy.mode = proxy_mode_of(text(settings, "proxy_protocol"));
    for (const auto& [name, into] : {std::pair{"forwarded_allow_ips", &options.loop.forwarded_from},
                                     std::pair{"proxy_allow_ips", &options.loop.proxy.from}}) {
      if (auto read = read_peers(settings, name, *into); !read)
        return base::Unexpected{read.error()};
    }
    return options;
  } catch (const Json::exception& problem) {
    return base::fail(fmt::format("settings for the worker: {}", problem.what()));
  }
}

}  // namespace tricorn::worker
