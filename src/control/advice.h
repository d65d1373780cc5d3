// What --timeout, --workers and --threads should be, from what the server has seen. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tricorn::control {

/// Time limit of App Service's front end. Source: diagnosis.md, ecosystem.md: 240 s, not settable
inline constexpr int kFrontendLimitSeconds = 240;
/// Requests below which latencies say too little.
inline constexpr std::uint64_t kRequestsEnough = 100;
/// Seconds of load below which it says too little.
inline constexpr double kLoadSecondsEnough = 300;

/// One piece of advice.
struct Advice {
  std::string setting;   ///< "--timeout"
  std::string now;       ///< its value
  std::string proposed;  ///< the same when it is right; empty: no value can be proposed
  std::string because;   ///< the figures
  bool warning = false;
};

/// Shares of the requests below these durations, from the server's histogram.
struct Latencies {
  std::uint64_t count = 0;
  double p50_s = 0;
  double p99_s = 0;
  double p999_s = 0;
  double longest_s = 0;  ///< end of the last bucket in use
};

/// @param buckets  [[end in seconds, count], ...] in order
[[nodiscard]] Latencies latencies_of(const nlohmann::ordered_json& buckets);

/// @param figures  the server's answer to "advise"
/// @param frontend_limit_s  of the proxy in front, 0 none
[[nodiscard]] std::vector<Advice> advise(const nlohmann::ordered_json& figures,
                                         int frontend_limit_s);

/// As text: the figures, then one paragraph per piece of advice.
[[nodiscard]] std::string render_advice(const nlohmann::ordered_json& figures,
                                        const std::vector<Advice>& advice);
[[nodiscard]] nlohmann::ordered_json advice_json(const nlohmann::ordered_json& figures,
                                                 const std::vector<Advice>& advice);

}  // namespace tricorn::control
