// The arbiter's side of the spawner: starts it, asks one thing at a time, never waits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tricorn::arbiter {

/// What the spawner said; also made up by us when it died over the request.
struct Answer {
  bool ok = false;
  std::string text;                 ///< why not, for the operator
  std::optional<std::string> said;  ///< what stderr gets instead when this ends the start
  int exit_status = 1;              ///< what the server should end with, if this ends it
  std::string values_json;  ///< of load(): the configuration file's plain values, a JSON object
  bool titles = false;      ///< of settle(): processes shall have names in ps
  pid_t pid = -1;           ///< of fork(), start_logger(), and settle() with a log channel
};

/// What a hook is about besides the server.
struct HookArguments {
  pid_t pid = 0;  ///< of the worker, 0: none
  int age = 0;
  std::optional<std::uint32_t> workers_now;  ///< of nworkers_changed
  std::optional<std::uint32_t> workers_before;
};

/// One spawner process. Requests are queued; each answer calls its own callback from on_readable().
class SpawnerClient {
 public:
  using OnAnswer = std::function<void(const Answer& answer)>;

  /// Starts a spawner. @param command  `python -m tricorn.spawner`, or a program that becomes one
  static base::Result<SpawnerClient> start(const std::vector<std::string>& command);

  /// The child that a program forked before it became us, as TRICORN_FIRST_SPAWNER says
  /// ("CHANNEL PID"), which is taken out of the environment. Empty: there is none.
  static std::optional<SpawnerClient> adopt();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int fd() const { return channel_.get(); }
  /// No further request comes: it ends in its own way, atexit functions included. on_readable() is
  /// false once it has.
  void let_go();

  /// Execute the configuration file. @param explicitly_named  it must exist
  /// @param argv  what Python shall find in sys.argv
  void load(const std::string& location, bool explicitly_named,
            const std::vector<std::string>& argv, OnAnswer on_answer);
  /// Take the settings and the application's name.
  /// @param log_channel  both ends, duplicated here; empty: Python's logging is not the sink
  void settle(const std::string& settings_json, const std::string& app,
              const std::vector<int>& log_channel, OnAnswer on_answer);
  /// Take the listening sockets, which are duplicated here.
  void listen(const std::vector<std::string>& names, const std::vector<int>& fds,
              OnAnswer on_answer);
  /// Open log files again: Python's handlers, and what is printed with --capture-output.
  void reopen_logs(OnAnswer on_answer);
  /// Close its copies of them.
  void leave_listeners(OnAnswer on_answer);
  /// The process that calls Python's logging died: fork another one, on the same channel.
  void start_logger(OnAnswer on_answer);
  /// @param page  where it notes how its Python is laid out, so that it can be looked at
  void preload(int page, OnAnswer on_answer);
  /// Find the numbers of hosts, which may take a while. Answer: see use_numbers().
  void look_up(const std::vector<std::string>& hosts, OnAnswer on_answer);
  /// Fork a worker. @param fds  page, control and keeper ends, duplicated here
  void fork(int age, const std::vector<int>& fds, OnAnswer on_answer);
  void hook(const std::string& name, const HookArguments& arguments, OnAnswer on_answer);

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
  void ask(std::string request, const std::vector<int>& fds, OnAnswer on_answer);
  void send_next();

  pid_t pid_ = -1;
  base::UniqueFd channel_;
  std::deque<Request> requests_;  // the first one is with the spawner
};

}  // namespace tricorn::arbiter
