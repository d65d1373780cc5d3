// Asks a running server over its control socket: docs/control.md.
#pragma once

#include <sys/types.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::control {

/// Error::code when there is no server to ask, or none that answers; other errors are the server's
/// "no".
inline constexpr int kNoServer = -1;  // no errno

/// One connection. Waits for answers, with a limit; for command-line programs.
class Client {
 public:
  using Json = nlohmann::ordered_json;

  /// @return Error (kNoServer) naming the path when nobody listens there
  [[nodiscard]] static base::Result<Client> connect(const std::string& path);
  /// Asks one thing. @param request  command and its arguments; the version is added
  /// @param seconds  to wait for the answer
  /// @return the answer's data; Error with the server's words, or kNoServer
  [[nodiscard]] base::Result<Json> ask(Json request, int seconds = 10);

 private:
  explicit Client(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

/// The control socket of the one server of this user that answers.
/// @return Error (kNoServer) when there is none, or several: then it names them
[[nodiscard]] base::Result<std::string> find_socket();

/// The control socket of the server whose pid is in `pid_file`, also another user's for root.
/// @return Error (kNoServer) naming the file
[[nodiscard]] base::Result<std::string> find_socket_of(const std::string& pid_file);

}  // namespace tricorn::control
