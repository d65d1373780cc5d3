// Metrics to statsd: Gunicorn's names and types, a datagram each, never waiting for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::net {

struct StatsdOptions {
  std::string address;  ///< HOST:PORT or unix://PATH; empty: off
  std::string prefix;
  std::string tags;  ///< dogstatsd's: "a:b,c:d"
};

/// Sends what it is told; what statsd does not take at once is lost, as datagrams are. Any thread.
class Statsd {
 public:
  /// @return Error when the address cannot be looked up
  base::Result<void> open(const StatsdOptions& options);
  [[nodiscard]] bool enabled() const { return socket_.valid(); }

  void increment(std::string_view name, std::int64_t by) const;
  void gauge(std::string_view name, std::int64_t value) const;
  void histogram(std::string_view name, std::int64_t value) const;
  void timer(std::string_view name, double milliseconds) const;
  /// One request: its duration, that it was, its status.
  void request(std::string_view status, std::int64_t duration_ns) const;
  /// Counts a line of the error log: gunicorn.log.{warning,error,critical,exception}.
  void line(const base::Record& record) const;

 private:
  void send(std::string_view name, const std::string& value_and_type) const;

  base::UniqueFd socket_;
  std::string prefix_;
  std::string tags_;  // "|#a:b", or empty
};

/// "PREFIX." whatever dots the setting ends with; one character stays alone, as in Gunicorn.
[[nodiscard]] std::string statsd_prefix(std::string prefix);

}  // namespace tricorn::net
