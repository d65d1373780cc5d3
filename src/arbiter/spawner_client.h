// The arbiter's side of the spawner: starts it, asks one thing at a time, never waits.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::arbiter {

/// One spawner process. Requests are queued; each answer calls its own callback from on_readable().
class SpawnerClient {
 public:
  using Json = nlohmann::json;
  /// @param answer  the spawner's object; {"ok": false, "text": ...} also when it died over the request
  using OnAnswer = std::function<void(const Json& answer)>;

  /// Starts `python -m tricorn.spawner`. @param python  path of the interpreter
  static base::Result<SpawnerClient> start(const std::string& python);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int fd() const { return channel_.get(); }
  /// @param fds  sent along, kept by the caller until the call returns
  void ask(const Json& request, const std::vector<int>& fds, OnAnswer on_answer);
  /// An answer is there. @return false: the spawner is gone
  [[nodiscard]] bool on_readable();
  /// It is dead: every open request is answered with a failure.
  void fail_all(const std::string& why);

 private:
  struct Request {
    std::string text;
    std::vector<base::UniqueFd> fds;
    OnAnswer on_answer;
  };
  void send_next();

  pid_t pid_ = -1;
  base::UniqueFd channel_;
  std::deque<Request> requests_;  // the first one is with the spawner
};

}  // namespace tricorn::arbiter
