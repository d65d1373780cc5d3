// Log lines to syslog, as Python's SysLogHandler sends them; never waiting for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "net/outbound.h"

namespace tricorn::net {

struct SyslogOptions {
  std::string address;   ///< udp://HOST:PORT, tcp://HOST:PORT or unix://PATH[#dgram|#stream]
  std::string facility;  ///< "user", "local0", …
  std::string ident;     ///< "gunicorn.NAME.error"
};

/// Bytes kept for a syslog that is slow; more is dropped and counted.
inline constexpr std::size_t kSyslogPendingMax = 256 * 1024;

/// A sink of whole lines. A syslog that is not there is tried again every few seconds. Any thread.
class Syslog final : public base::LineSink {
 public:
  /// @return Error when address or facility are wrong
  static base::Result<std::unique_ptr<Syslog>> open(const SyslogOptions& options);

  void take(const base::Record& record) override;
  bool flush() override;
  std::string complaint() override;

 private:
  base::Result<void> parse(const SyslogOptions& options);
  bool connect();
  bool flush_locked();
  bool send_first();
  void drop_first();

  std::string ident_;
  Address address_;   // looked up once
  std::string path_;  // of a unix socket
  int facility_ = 1;
  int type_ = 0;  // 0: a unix socket of either type

  std::mutex mutex_;
  base::UniqueFd socket_;
  bool stream_ = false;
  std::int64_t retry_ns_ = 0;  // no earlier attempt to connect
  std::deque<std::string> pending_;
  std::size_t pending_bytes_ = 0;
  std::size_t sent_of_first_ = 0;  // of a stream
  std::uint64_t dropped_ = 0;
};

}  // namespace tricorn::net
