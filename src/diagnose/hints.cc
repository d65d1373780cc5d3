#include <fmt/format.h>

#include <string>

#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

/// "HOST PORT" of "HOST:PORT"; empty for anything else.
std::string host_and_port(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || address.starts_with('/')) return "";
  std::string host = address.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return fmt::format("{} {}", host, address.substr(colon + 1));
}

}  // namespace

// Databases name sessions by the client's port, which is ours.
std::string session_hint(const Peer& peer) {
  if (peer.local_port == 0) return "";
  const unsigned port = peer.local_port;
  if (peer.service == "PostgreSQL")
    return fmt::format(
        "SELECT *, pg_blocking_pids(pid) FROM pg_stat_activity WHERE client_port = {}", port);
  if (peer.service == "MySQL") return fmt::format("SHOW FULL PROCESSLIST, host ends in :{}", port);
  if (peer.service == "Redis") return fmt::format("CLIENT LIST, addr ends in :{}", port);
  if (peer.service == "MongoDB") return fmt::format("db.currentOp(), client ends in :{}", port);
  return "";
}

std::string hint_of(Cause cause, const Evidence& evidence) {
  const Peer* peer = evidence.peer ? &*evidence.peer : nullptr;
  switch (cause) {
    case Cause::WaitConnect:
      return peer == nullptr || host_and_port(peer->address).empty()
                 ? ""
                 : "nc -vz " + host_and_port(peer->address);
    case Cause::WaitDns: {
      const bool known = peer != nullptr && peer->port != 0;  // else the address is our own
      const std::string server = known ? host_and_port(peer->address) : "";
      return server.empty() ? "" : "dig @" + server.substr(0, server.find(' '));
    }
    case Cause::WaitFileLock:
      return peer == nullptr || peer->holder == 0 || peer->holder == evidence.pid
                 ? ""
                 : fmt::format("ps -fp {}", peer->holder);
    case Cause::NetPortExhaustion:
      return "ss -s";
    case Cause::MemoryOomKill:
      return "dmesg | grep -i oom";
    case Cause::WaitDisk:
      return "dmesg | tail";
    default:
      return "";
  }
}

}  // namespace tricorn::diagnose
