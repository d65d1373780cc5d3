#include "arbiter/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arbiter/arbiter.h"
#include "arbiter/incidents.h"
#include "base/append.h"
#include "base/clock.h"
#include "net/outbound.h"

namespace tricorn::arbiter {
namespace {

constexpr std::size_t kLogLineMax = 256 * 1024;
constexpr std::int64_t kLastLinesNs = 500'000'000;
constexpr int kLastLinesPauseMs = 10;

base::Result<void> can_append(const std::string& path, mode_t mode) {
  if (path.empty() || path == "-") return {};
  if (base::open_to_append(path, mode).valid()) return {};
  return base::fail_errno(fmt::format("'{}' isn't writable", path), errno);
}

// The HOST of "HOST:PORT" or "SCHEME://HOST:PORT"; empty: it names none.
std::string host_in(const std::string& address) {
  if (address.starts_with("unix:")) return {};
  const std::size_t scheme = address.find("://");
  std::string host;
  std::string port;
  net::split_host_port(scheme == std::string::npos ? address : address.substr(scheme + 3), host,
                       port);
  return host;
}

void put_number(std::string& address, const std::string& host, std::string number) {
  const std::size_t at = address.find(host);
  const bool bracketed = at > 0 && address[at - 1] == '[';
  if (number.find(':') != std::string::npos && !bracketed) number = "[" + number + "]";
  address.replace(at, host.size(), number);
}

}  // namespace

std::vector<std::string> hosts_of(const Options& options) {
  std::vector<std::string> hosts;
  if (options.python_log) return hosts;
  for (const std::string& address : {options.syslog.address, options.statsd.address}) {
    if (std::string host = host_in(address); !host.empty()) hosts.push_back(std::move(host));
  }
  return hosts;
}

base::Result<void> use_numbers(Options& options, const std::string& answer_json) {
  const auto answer = nlohmann::json::parse(answer_json);
  const auto number_of = [&](const std::string& host) {
    return answer.at("numbers").value(host, std::string());
  };
  const auto reason_of = [&](const std::string& host) {
    return host + ": " + answer.at("reasons").value(host, std::string());
  };
  if (const std::string host = host_in(options.syslog.address); !host.empty()) {
    if (number_of(host).empty()) return base::fail("syslog_addr: " + reason_of(host));
    put_number(options.syslog.address, host, number_of(host));
  }
  if (const std::string host = host_in(options.statsd.address); !host.empty()) {
    if (!number_of(host).empty()) {
      put_number(options.statsd.address, host, number_of(host));
    } else {
      options.warnings.push_back("statsd_host: " + reason_of(host));
      options.statsd.address.clear();
    }
  }
  return {};
}

base::Result<Outputs> prepare_outputs(const Options& options) {
  if (auto writable = can_append(options.error_log.path, 0666); !writable)
    return base::Unexpected{writable.error()};
  if (auto writable = can_append(options.report, kReportMode); !writable)
    return base::fail("report " + writable.error().text);
  if (auto writable = can_append(options.access_log, 0666); !writable)
    return base::Unexpected{writable.error()};
  Outputs outputs;
  if (options.python_log) return outputs;  // which has its own way to syslog and statsd
  if (auto opened = outputs.statsd.open(options.statsd); !opened)
    outputs.warning = opened.error().text;
  if (options.syslog.address.empty()) return outputs;
  auto syslog = net::Syslog::open(options.syslog);
  if (!syslog) return base::Unexpected{syslog.error()};
  outputs.syslog = std::move(*syslog);
  return outputs;
}

// Before anybody is served, so the look-up of a name may take its time here.
bool Arbiter::open_outputs() {
  auto outputs = prepare_outputs(options_);
  if (!outputs) return fail_start(1, outputs.error().text), false;
  if (options_.python_log) {  // what is said before the spawner reads waits in the socket
    make_log_channel();
    outputs->python_log.reset(::fcntl(log_writer_.get(), F_DUPFD_CLOEXEC, 0));
  }
  use_outputs(std::move(*outputs));
  open_log_files_for_workers();
  return true;
}

// Files that have the same name are opened again, as by USR1.
void Arbiter::use_outputs(Outputs outputs) {
  log_.flush();
  if (auto opened = log_.open(options_.error_log); !opened) log_.error(opened.error().text);
  if (auto opened = incidents_.open(options_.report); !opened) log_.error(opened.error().text);
  log_.set_sink(std::move(outputs.syslog));
  statsd_ = std::move(outputs.statsd);
  workers_told_ = UINT32_MAX;
  log_.on_line({});
  if (statsd_.enabled()) log_.on_line([this](const base::Record& told) { statsd_.line(told); });
  use_python_log(std::move(outputs.python_log), outputs.logger);
  if (!outputs.warning.empty()) log_.warning(outputs.warning);
}

// To the process that calls Python's logger for us: docs/decisions/0012.
void Arbiter::make_log_channel() {
  if (!heartbeat::socket_pair(log_reader_, log_writer_))
    log_.error(fmt::format("No channel to Python's logging: {}", std::strerror(errno)));
}

// Lines that nobody came to read are written here; else their reader gets a moment, since the end
// of a container's first process is everybody's.
void Arbiter::finish_python_log() {
  static_cast<void>(log_.divert({}));
  python_logger_.channel.reset();
  log_writer_.reset();
  std::string text(kLogLineMax, '\0');
  ssize_t got = 0;
  while (log_reader_.valid() &&
         (got = ::recv(log_reader_.get(), text.data(), text.size(), MSG_DONTWAIT)) > 0) {
    const auto line = nlohmann::json::parse(text.data(), text.data() + got, nullptr, false);
    if (!line.is_object()) continue;
    const std::string message = line.value("message", "");
    const std::string tail = line.value("tail", "");
    const int level = line.value("level", 20) / 10 - 1;
    log_.write(
        {static_cast<base::Level>(std::clamp(level, 0, 4)), message, line.value("pid", 0), tail});
  }
  const std::int64_t until = base::monotonic_ns() + kLastLinesNs;
  while (options_.python_log && base::monotonic_ns() < until &&
         ::waitpid(-1, nullptr, WNOHANG) >= 0)
    ::poll(nullptr, 0, kLastLinesPauseMs);
  while (log_.behind() && base::monotonic_ns() < until) {
    log_.flush();
    ::poll(nullptr, 0, kLastLinesPauseMs);
  }
}

// Workers that run as somebody else open them again by themselves, after a rotation too.
void Arbiter::open_log_files_for_workers() {
  if (options_.user < 0 && options_.group < 0) return;
  const auto user = options_.user < 0 ? ::geteuid() : static_cast<uid_t>(options_.user);
  const auto group = options_.group < 0 ? ::getegid() : static_cast<gid_t>(options_.group);
  if (user == ::geteuid() && group == ::getegid()) return;
  for (const std::string& path : {options_.error_log.path, options_.access_log}) {
    if (path.empty() || path == "-") continue;
    const base::UniqueFd file = base::open_to_append(path, 0666);
    if (!file.valid() || ::fchown(file.get(), user, group) != 0)
      log_.warning(
          fmt::format("{} may not be writable for workers: {}", path, std::strerror(errno)));
  }
}

void Arbiter::reopen_logs() {
  if (auto reopened = log_.reopen(); !reopened)
    log_.error("Cannot reopen the error log: " + reopened.error().text);
  if (auto reopened = incidents_.open(options_.report); !reopened)
    log_.error("Cannot reopen the report: " + reopened.error().text);
  open_log_files_for_workers();
  if (spawner_) {
    spawner_->reopen_logs([this](const Answer& answer) {
      if (!answer.ok) log_.error("Cannot reopen logs: " + answer.text);
    });
  }
  for (const auto& [pid, worker] : workers_) send_order(*worker, heartbeat::Verb::ReopenLogs);
}

}  // namespace tricorn::arbiter
