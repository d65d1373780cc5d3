#include "net/syslog.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/clock.h"
namespace tricorn::net {
namespace {

constexpr std::int64_t kRetryNs = 5'000'000'000;

// Source: RFC 5424 section 6.2.1, by the names of Python's SysLogHandler.
constexpr std::array<const char*, 12> kFacilities{"kern", "user",   "mail",     "daemon",
                                                  "auth", "syslog", "lpr",      "news",
                                                  "uucp", "cron",   "authpriv", "ftp"};

int facility_of(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (std::size_t i = 0; i < kFacilities.size(); ++i) {
    if (name == kFacilities[i]) return static_cast<int>(i);
  }
  if (name == "security") return 4;
  if (name.size() == 6 && name.starts_with("local") && name[5] >= '0' && name[5] <= '7')
    return 16 + name[5] - '0';
  return -1;
}

int severity_of(base::Level level) {
  switch (level) {
    case base::Level::Debug:
      return 7;
    case base::Level::Info:
      return 6;
    case base::Level::Warning:
      return 4;
    case base::Level::Error:
      return 3;
    case base::Level::Critical:
      return 2;
  }
  return 6;
}

}  // namespace

base::Result<std::unique_ptr<Syslog>> Syslog::open(const SyslogOptions& options) {
  auto syslog = std::make_unique<Syslog>();
  if (auto parsed = syslog->parse(options); !parsed) return base::Unexpected{parsed.error()};
  const std::lock_guard lock(syslog->mutex_);
  syslog->connect();
  return syslog;
}

base::Result<void> Syslog::parse(const SyslogOptions& options) {
  ident_ = options.ident;
  facility_ = facility_of(options.facility);
  if (facility_ < 0) return base::fail("unknown facility name");
  const std::string& address = options.address;
  const std::string scheme = address.substr(0, std::min(address.find("://"), address.size()));
  if (scheme.size() == address.size()) return base::fail("invalid syslog address");
  const std::string rest = address.substr(scheme.size() + 3);
  if (scheme == "unix") {
    path_ = rest.substr(0, rest.find('#'));
    type_ = rest.ends_with("#dgram") ? SOCK_DGRAM : 0;
    return {};
  }
  if (scheme != "udp" && scheme != "tcp") return base::fail("invalid syslog address");
  type_ = scheme == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  std::string host;
  std::string port = "514";
  split_host_port(rest, host, port);
  if (host.empty()) host = "localhost";
  if (port.find_first_not_of("0123456789") != std::string::npos)
    return base::fail("'" + port + "' is not a valid port number.");
  auto found = look_up(host, port, type_);
  if (!found) return base::fail("syslog_addr: " + found.error().text);
  address_ = *found;
  return {};
}

bool Syslog::connect() {
  const std::int64_t now = base::monotonic_ns();
  if (now < retry_ns_) return false;
  retry_ns_ = now + kRetryNs;
  auto fd = path_.empty() ? connect_to(address_, type_)
                          : connect_unix(path_, type_ != 0 ? type_ : SOCK_DGRAM);
  stream_ = type_ == SOCK_STREAM;
  if (!fd && !path_.empty() && type_ == 0) {
    fd = connect_unix(path_, SOCK_STREAM);
    stream_ = true;
  }
  if (!fd) return false;
  socket_ = std::move(*fd);
  sent_of_first_ = 0;
  return true;
}

// "<PRI>IDENT: [PID] MESSAGE" and a NUL, without time or host: syslog adds them.
void Syslog::take(const base::Record& record) {
  std::string text = "<" + std::to_string(facility_ * 8 + severity_of(record.level)) + ">";
  text += ident_ + ": [" + std::to_string(record.pid != 0 ? record.pid : ::getpid()) + "] ";
  text.append(record.message);
  if (!record.tail.empty()) {
    text += '\n';
    text.append(record.tail.substr(0, record.tail.find_last_not_of('\n') + 1));
  }
  text += '\0';
  const std::lock_guard lock(mutex_);
  if (pending_bytes_ + text.size() > kSyslogPendingMax && !flush_locked()) {
    ++dropped_;
    return;
  }
  pending_bytes_ += text.size();
  pending_.push_back(std::move(text));
  flush_locked();
}

void Syslog::drop_first() {
  pending_bytes_ -= pending_.front().size();
  pending_.pop_front();
  sent_of_first_ = 0;
}

// @return false: not now
bool Syslog::send_first() {
  const std::string& first = pending_.front();
  const ssize_t sent = ::send(socket_.get(), first.data() + sent_of_first_,
                              first.size() - sent_of_first_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    sent_of_first_ += static_cast<std::size_t>(sent);
    if (sent_of_first_ >= first.size() || !stream_) drop_first();
    return true;
  }
  if (errno == EINTR) return true;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return false;
  if (errno == EMSGSIZE) {
    ++dropped_;
    drop_first();
    return true;
  }
  // Nobody listens: UDP says so for the datagram before this one, which cannot be helped.
  if (errno == ECONNREFUSED && type_ == SOCK_DGRAM && path_.empty()) return true;
  socket_.reset();  // restarted, perhaps; what a stream has half is sent anew
  sent_of_first_ = 0;
  return false;
}

bool Syslog::flush_locked() {
  if (!socket_.valid() && !connect()) return pending_.empty();
  while (!pending_.empty() && send_first()) continue;
  return pending_.empty();
}

bool Syslog::flush() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && flush_locked();
}

std::string Syslog::complaint() {
  const std::lock_guard lock(mutex_);
  if (dropped_ == 0 || !pending_.empty()) return {};
  return "Syslog too slow: " + std::to_string(std::exchange(dropped_, 0)) + " lines dropped";
}

}  // namespace tricorn::net
