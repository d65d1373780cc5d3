// The server's end of the control socket: who may ask, how much, how long. It knows lines, not what
// they mean. All of it runs in the arbiter's loop: nothing here waits, and a client that does not
// read or write costs a descriptor for a bounded time.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/poller.h"

namespace tricorn::arbiter {

/// Clients at a time; the next one is told to come again. Source: our bound, people and scripts.
inline constexpr std::size_t kControlClientsMax = 16;
/// Bytes of one request, line end included.
inline constexpr std::size_t kControlRequestMax = 4096;
/// Bytes of one answer; a longer one becomes an error. Source: all stacks of 16 workers with 64
/// threads of 40 frames are 5 MB.
inline constexpr std::size_t kControlAnswerMax = std::size_t{16} << 20;
/// A client that asks nothing is cut after this.
inline constexpr std::int64_t kControlIdleNs = 300'000'000'000;
/// A client that takes nothing of its answer is cut after this.
inline constexpr std::int64_t kControlStuckNs = 5'000'000'000;

class ControlSocket {
 public:
  /// Names one request of one client, so that it can be answered later.
  using Ticket = std::uint64_t;
  /// Answers one line (without its end) by one line; nothing: answer() will.
  using Handler =
      std::function<std::optional<std::string>(Ticket ticket, std::string_view request)>;

  /// @param listening, talking  make the poller's tokens of the listening socket and of a client
  ControlSocket(const net::Poller& poller, std::function<std::uint64_t(int fd)> listening,
                std::function<std::uint64_t(int fd)> talking, Handler handler);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Listens at `path`; a socket there that nobody listens on is replaced.
  /// @param mode  of the file, e.g. 0600
  /// @return Error naming the path; code EADDRINUSE when another server listens there
  [[nodiscard]] base::Result<void> open(const std::string& path, mode_t mode);
  /// Moves the socket's file, replacing what is there; connected clients notice nothing.
  [[nodiscard]] base::Result<void> rename(const std::string& path);
  /// Stops listening, cuts the clients, removes the file if it is still this one's.
  void close();
  /// Removes the socket at `path`, or the link to one, if nobody listens on it.
  static void remove_deserted(const std::string& path);
  [[nodiscard]] bool is_open() const { return listener_.valid(); }
  [[nodiscard]] const std::string& path() const { return path_; }

  void on_connection(std::int64_t now_ns);
  void on_client(int fd, std::uint32_t events, std::int64_t now_ns);
  /// Answers a request the handler left open; a client that has gone meanwhile is no error.
  void answer(Ticket ticket, std::string line, std::int64_t now_ns);
  [[nodiscard]] bool waits(Ticket ticket) const;
  /// Cuts the clients whose time is over. Call it about once a second.
  void cut_late(std::int64_t now_ns);

 private:
  struct Client {
    base::UniqueFd fd;
    std::string in;
    std::string out;
    std::size_t sent = 0;
    std::int64_t since_ns = 0;  // of the last byte either way
    Ticket asked = 0;           // 0: no request is open
    bool asks_for_output = false;
  };
  [[nodiscard]] bool read(Client& client, std::int64_t now_ns);
  [[nodiscard]] bool take_request(Client& client, std::int64_t now_ns);
  [[nodiscard]] bool send(Client& client, std::int64_t now_ns);
  void put(Client& client, std::string line, std::int64_t now_ns);
  void await(Client& client, bool output);

  const net::Poller& poller_;
  std::function<std::uint64_t(int)> listening_;
  std::function<std::uint64_t(int)> talking_;
  Handler handler_;
  base::UniqueFd listener_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::map<int, Client> clients_;
  Ticket last_ticket_ = 0;
};

/// One line for a request that cannot be answered: {"v":1,"ok":false,"error":...}.
[[nodiscard]] std::string control_error(std::string_view words);

}  // namespace tricorn::arbiter
