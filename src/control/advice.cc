#include "control/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "control/render.h"

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

// Room above the longest request that was answered: the next one may take longer.
constexpr double kRoom = 1.5;
// A time-out this many times above what is needed leaves clients waiting for nothing.
constexpr double kFarAbove = 4;
// Busy threads of all threads, on average, from which there is little room left, and below which
// there is plenty. Source: at 0.7 an M/M/1 queue is 2.3 requests long
constexpr double kBusyHigh = 0.7;
constexpr double kBusyLow = 0.1;
// The share of CPU of a worker that computes rather than waits.
constexpr double kComputes = 0.5;
constexpr double kFullOften = 0.05;
constexpr unsigned kThreadsProposedMax = 64;

double number(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() && found->is_number() ? found->get<double>()
                                                                           : 0;
}

const Json& part(const Json& object, const char* name) {
  static const Json kNone = Json::object();
  const auto found = object.is_object() ? object.find(name) : object.end();
  return !object.is_object() || found == object.end() ? kNone : *found;
}

std::string seconds_text(double seconds) {
  if (seconds == 0) return "0 (never)";
  return fmt::format("{:.0f}", seconds);
}

/// Up to the next multiple of five.
double rounded_up(double seconds) { return std::max(5.0, std::ceil(seconds / 5) * 5); }

struct Slowest {
  std::string request;
  double longest_s = 0;
  std::string cut;  ///< "3 of GET /x"
  std::uint64_t timed_out = 0;
};

Slowest slowest_of(const Json& paths) {
  Slowest slowest;
  for (const Json& path : paths) {
    if (number(path, "longest_s") > slowest.longest_s) {
      slowest.longest_s = number(path, "longest_s");
      slowest.request = member(path, "request");
    }
    const auto cut = static_cast<std::uint64_t>(number(path, "timed_out"));
    if (cut == 0) continue;
    slowest.timed_out += cut;
    slowest.cut +=
        fmt::format("{}{} of {}", slowest.cut.empty() ? "" : ", ", cut, member(path, "request"));
  }
  return slowest;
}

Advice timeout_advice(const Json& figures, const Latencies& latencies) {
  const double now = number(figures, "timeout_s");
  const Slowest slowest = slowest_of(part(figures, "paths"));
  const double longest =
      std::max(slowest.longest_s, slowest.request.empty() ? latencies.longest_s : 0);
  Advice advice{"--timeout", seconds_text(now), seconds_text(now), "", false};
  if (slowest.timed_out > 0) {
    advice.proposed.clear();
    advice.warning = true;
    advice.because = fmt::format(
        "{} were cut at {:.0f} s, so nobody knows how long they need: `tricornctl explain REF` "
        "says what "
        "for; make them faster, or raise --timeout to {:.0f} and look again",
        slowest.cut, now, rounded_up(now * 2));
    return advice;
  }
  if (latencies.count < kRequestsEnough) {
    advice.because = fmt::format("only {} requests were answered so far, {} are needed to say more",
                                 latencies.count, kRequestsEnough);
    return advice;
  }
  const std::string seen = fmt::format(
      "99.9% of {} requests took less than {:.2f} s, the longest {:.1f} s{}", latencies.count,
      latencies.p999_s, longest, slowest.request.empty() ? "" : " (" + slowest.request + ")");
  const double needed = rounded_up(longest * kRoom);
  if (now != 0 && needed > now) {
    advice.proposed = seconds_text(needed);
    advice.warning = true;
    advice.because =
        seen + fmt::format(": less than half as much again is left below {:.0f} s", now);
  } else if (now == 0 || now > needed * kFarAbove) {
    advice.proposed = seconds_text(std::max(needed, 30.0));
    advice.because = seen + "; what hangs should not hold a thread for longer than needed";
    if (advice.proposed == advice.now) advice.because = seen;
  } else {
    advice.because = seen;
  }
  return advice;
}

std::vector<Advice> frontend_advice(const Json& figures, int limit_s) {
  const double timeout = number(figures, "timeout_s");
  const Slowest slowest = slowest_of(part(figures, "paths"));
  std::vector<Advice> list;
  if (limit_s == 0) return list;
  if (slowest.longest_s > limit_s) {
    list.push_back(
        {"front end", fmt::format("{} s", limit_s), "",
         fmt::format("{} took {:.0f} s, more than a front end with this limit waits (App "
                     "Service: 240 s, whatever --timeout says): answer at once and let the "
                     "client ask for the result",
                     slowest.request, slowest.longest_s),
         true});
  } else if (timeout == 0 || timeout > limit_s) {
    list.push_back(
        {"front end", fmt::format("{} s", limit_s), "",
         fmt::format("--timeout {} is above the {} s that a front end such as App Service's "
                     "waits: between the two, clients get its error and the log names no "
                     "cause. Behind one, set --timeout below; else --frontend-limit 0",
                     seconds_text(timeout), limit_s),
         true});
  }
  return list;
}

/// Both at once: threads for requests that wait, workers for those that compute.
std::vector<Advice> size_advice(const Json& figures) {
  const Json& load = part(figures, "load");
  const double busy = number(load, "busy_share"), full = number(load, "full_share");
  const double cpu = number(figures, "cpu_share"), cpus = std::max(1.0, number(figures, "cpus"));
  const double workers = number(part(figures, "workers"), "wanted");
  const double threads = std::max(1.0, number(figures, "threads"));
  const std::string seen = fmt::format(
      "{:.0f}% of the threads were busy on average over {}, all of them {:.0f}% of the time, at "
      "most {}; "
      "a worker used {:.0f}% of a CPU, there are {:.0f}",
      busy * 100, duration_text(number(load, "seconds")), full * 100, member(load, "busy_max"),
      cpu * 100, cpus);
  Advice more_workers{"--workers", fmt::format("{:.0f}", workers), fmt::format("{:.0f}", workers),
                      seen, false};
  Advice more_threads{"--threads", fmt::format("{:.0f}", threads), fmt::format("{:.0f}", threads),
                      "", false};
  if (number(load, "seconds") < kLoadSecondsEnough) {
    more_workers.because =
        fmt::format("the load was watched for {} only, {:.0f} min are needed to say more",
                    duration_text(number(load, "seconds")), kLoadSecondsEnough / 60);
    more_threads.because = "as for --workers";
    return {more_workers, more_threads};
  }
  more_threads.because = "as for --workers";
  const bool crowded = busy >= kBusyHigh || full >= kFullOften;
  if (crowded && cpu >= kComputes) {
    const double wanted = std::max(workers + 1, std::ceil(workers * busy / 0.5));
    if (workers < cpus) {
      more_workers.proposed = fmt::format("{:.0f}", std::min(wanted, cpus));
      more_workers.because = seen + ": they compute, and a CPU for each more worker is there";
    } else {
      more_workers.because = seen +
                             ": they compute, and no CPU is left; a larger machine or faster code "
                             "helps, more workers do not";
    }
    more_workers.warning = true;
  } else if (crowded) {
    const double wanted = std::max(threads * 2, std::ceil(threads * busy / 0.5));
    more_threads.proposed = fmt::format("{:.0f}", std::min<double>(wanted, kThreadsProposedMax));
    more_threads.because =
        seen +
        ": they wait rather than compute, so threads (-k gthread) are enough, if "
        "the application may run in threads; else as many more workers";
    more_threads.warning = true;
    more_workers.because = "as for --threads";
  } else if (busy < kBusyLow && number(load, "busy_max") <= workers * threads / 2 && workers > 1) {
    more_workers.because = seen + ": fewer workers would do, and save their memory";
  }
  return {more_workers, more_threads};
}

}  // namespace

Latencies latencies_of(const Json& buckets) {
  Latencies latencies;
  const auto entry = [](const Json& bucket) {
    const bool fits = bucket.is_array() && bucket.size() == 2 && bucket[0].is_number() &&
                      bucket[1].is_number_integer();
    return fits ? std::pair{bucket[0].get<double>(), bucket[1].get<std::uint64_t>()}
                : std::pair{0.0, std::uint64_t{0}};
  };
  for (const Json& bucket : buckets) latencies.count += entry(bucket).second;
  std::uint64_t seen = 0;
  const auto reached = [&](double share) {
    return static_cast<double>(seen) >= share * static_cast<double>(latencies.count);
  };
  for (const Json& bucket : buckets) {
    const auto [end_s, count] = entry(bucket);
    if (count == 0) continue;
    seen += count;
    if (latencies.p50_s == 0 && reached(0.5)) latencies.p50_s = end_s;
    if (latencies.p99_s == 0 && reached(0.99)) latencies.p99_s = end_s;
    if (latencies.p999_s == 0 && reached(0.999)) latencies.p999_s = end_s;
    latencies.longest_s = end_s;
  }
  return latencies;
}

std::vector<Advice> advise(const Json& figures, int frontend_limit_s) {
  const Latencies latencies = latencies_of(part(figures, "latency"));
  std::vector<Advice> list = {timeout_advice(figures, latencies)};
  for (Advice& one : frontend_advice(figures, frontend_limit_s)) list.push_back(std::move(one));
  for (Advice& one : size_advice(figures)) list.push_back(std::move(one));
  return list;
}

std::string render_advice(const Json& figures, const std::vector<Advice>& advice) {
  const Latencies latencies = latencies_of(part(figures, "latency"));
  std::string out = fmt::format(
      "{} requests in {}: half took less than {:.4f} s, 99% less than {:.3f} s, 99.9% less than "
      "{:.3f} s\n\n",
      latencies.count, duration_text(number(figures, "uptime_s")), latencies.p50_s, latencies.p99_s,
      latencies.p999_s);
  std::vector<std::vector<std::string>> rows = {{"PATH", "OVER 0.1 S", "CUT", "MEAN", "LONGEST"}};
  for (const Json& path : part(figures, "paths")) {
    rows.push_back({member(path, "request"), member(path, "count"), member(path, "timed_out"),
                    fmt::format("{:.1f}", number(path, "mean_s")),
                    fmt::format("{:.1f}", number(path, "longest_s"))});
  }
  if (rows.size() > 1) out += table(rows) + "\n";
  for (const Advice& one : advice) {
    const bool stays = one.now == one.proposed;
    const std::string what = stays ? fmt::format("keep {}", one.now)
                             : one.proposed.empty()
                                 ? one.now
                                 : fmt::format("{} -> {}", one.now, one.proposed);
    out +=
        fmt::format("{} {:<10} {}: {}\n", one.warning ? "!" : " ", one.setting, what, one.because);
  }
  return out;
}

Json advice_json(const Json& figures, const std::vector<Advice>& advice) {
  Json list = Json::array();
  for (const Advice& one : advice) {
    list.push_back({{"setting", one.setting},
                    {"now", one.now},
                    {"proposed", one.proposed.empty() ? Json(nullptr) : Json(one.proposed)},
                    {"because", one.because},
                    {"warning", one.warning}});
  }
  return {{"advice", list}, {"figures", figures}};
}

}  // namespace tricorn::control
