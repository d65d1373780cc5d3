#include "net/statsd.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include "net/outbound.h"

namespace tricorn::net {

std::string statsd_prefix(std::string prefix) {
  const std::size_t last = prefix.find_last_not_of('.');
  if (last == std::string::npos || last == 0) return prefix;
  return prefix.substr(0, last + 1) + ".";
}

base::Result<void> Statsd::open(const StatsdOptions& options) {
  if (options.address.empty()) return {};
  prefix_ = statsd_prefix(options.prefix);
  tags_ = options.tags.empty() ? "" : "|#" + options.tags;
  std::string host;
  std::string port = "8125";
  split_host_port(options.address, host, port);
  base::Result<base::UniqueFd> fd = base::fail("");
  if (options.address.starts_with("unix://")) {
    fd = connect_unix(options.address.substr(7), SOCK_DGRAM);
  } else if (auto address = look_up(host, port, SOCK_DGRAM); !address) {
    fd = base::Unexpected{address.error()};
  } else {
    fd = connect_to(*address, SOCK_DGRAM);
  }
  if (!fd) return base::fail("statsd_host: " + fd.error().text);
  socket_ = std::move(*fd);
  return {};
}

void Statsd::send(std::string_view name, const std::string& value_and_type) const {
  if (!socket_.valid()) return;
  const std::string datagram = fmt::format("{}{}:{}{}", prefix_, name, value_and_type, tags_);
  static_cast<void>(
      ::send(socket_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

void Statsd::increment(std::string_view name, std::int64_t by) const {
  send(name, fmt::format("{}|c|@1.0", by));
}

void Statsd::gauge(std::string_view name, std::int64_t value) const {
  send(name, fmt::format("{}|g", value));
}

void Statsd::histogram(std::string_view name, std::int64_t value) const {
  send(name, fmt::format("{}|h", value));
}

// As Python shows a float: a whole number has ".0".
void Statsd::timer(std::string_view name, double milliseconds) const {
  std::string shown = fmt::format("{}", milliseconds);
  if (shown.find_first_of(".e") == std::string::npos) shown += ".0";
  send(name, shown + "|ms");
}

void Statsd::request(std::string_view status, std::int64_t duration_ns) const {
  if (!socket_.valid()) return;
  timer("gunicorn.request.duration", static_cast<double>(duration_ns / 1000) / 1000.0);
  increment("gunicorn.requests", 1);
  increment(fmt::format("gunicorn.request.status.{}", status), 1);
}

void Statsd::line(const base::Record& record) const {
  switch (record.level) {
    case base::Level::Debug:
    case base::Level::Info:
      return;
    case base::Level::Warning:
      return increment("gunicorn.log.warning", 1);
    case base::Level::Error:
      return increment(record.tail.empty() ? "gunicorn.log.error" : "gunicorn.log.exception", 1);
    case base::Level::Critical:
      return increment("gunicorn.log.critical", 1);
  }
}

}  // namespace tricorn::net
