// The arbiter: keeps workers alive, watches them, says why one timed out or died, answers its
// clients. One thread, one epoll; it runs no user code and never waits for anybody.
//
//   Starting ──load, settle, preload──> Running ──TERM, INT, QUIT──> Stopping ──no workers──>
//   Stopped (on_exit)
//      +───────────failure──────────────────────────────────────────────^
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arbiter/control_socket.h"
#include "arbiter/incidents.h"
#include "arbiter/inheritance.h"
#include "arbiter/listeners.h"
#include "arbiter/load.h"
#include "arbiter/notify.h"
#include "arbiter/options.h"
#include "arbiter/outputs.h"
#include "arbiter/overload.h"
#include "arbiter/pace.h"
#include "arbiter/path_statistics.h"
#include "arbiter/pidfile.h"
#include "arbiter/profiler.h"
#include "arbiter/python_logger.h"
#include "arbiter/references.h"
#include "arbiter/slow_watch.h"
#include "arbiter/spawner_client.h"
#include "arbiter/worker_process.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "diagnose/kernel_log.h"
#include "net/address.h"
#include "net/poller.h"

namespace tricorn::arbiter {

/// Makes options out of what the configuration file gave (a JSON object as text).
using Resolve = std::function<base::Result<Options>(const std::string& conf_json)>;

/// How this server was started, to start its successor the same way.
struct Program {
  std::vector<std::string>
      spawner;  ///< the command that is the spawner when it finds TRICORN_CHANNEL
  std::vector<std::string> command;  ///< the first word is what is executed
  std::string directory;             ///< as the shell knew it: its links are followed anew
};

/// How the configuration file is found.
struct ConfLocation {
  std::string location = "./gunicorn.conf.py";
  bool explicitly_named = false;
};

class Arbiter {
 public:
  Arbiter(Program program, ConfLocation conf, Resolve resolve);
  ~Arbiter();
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;

  /// Serves until told to stop. @return the process's exit status. Source: gunicorn.md section 2.
  int run();

 private:
  friend class ControlAnswers;  // reads all of this for tricornctl

  enum class State { Starting, Running, Stopping, Stopped };

  /// Taken around a deadline.
  static constexpr std::size_t kLooks = 6;
  /// From SIGKILL on: who is there still, and sleeps in the kernel, cannot be killed.
  static constexpr std::int64_t kStuckAfterNs = 2'000'000'000;

  // ---- start (start.cc) ----
  bool prepare_process();
  bool start_spawner();
  void load_conf();
  void on_conf(const Answer& answer);
  void open_for_business();
  void send_metrics();
  bool bind_all();
  [[nodiscard]] BindOptions bind_options() const;
  void starting_hook(const char* name, const HookArguments& arguments, std::function<void()> then);
  void settle(std::function<void()> then);
  void give_settings(std::function<void()> then);
  void give_listeners(std::function<void()> then);
  void announce_listeners();
  void preload(std::function<void()> then);
  void supervise_preload();
  [[nodiscard]] std::int64_t boot_limit_ns() const {
    return options_.boot_timeout_ns != 0 ? options_.boot_timeout_ns : options_.timeout_ns;
  }
  void fail_start(int status, const std::string& text);
  void fail_start(const Answer& answer);
  void on_spawner_lost();
  void recover_spawner();

  [[nodiscard]] bool adopt_inherited();

  void tell_ready();
  void keep_manager_patient();

  // ---- logs (outputs.cc) ----
  bool open_outputs();
  void use_outputs(Outputs outputs);
  void make_log_channel();
  void finish_python_log();
  void open_log_files_for_workers();
  void reopen_logs();

  // ---- Python's logging (python_logger.cc) ----
  void use_python_log(base::UniqueFd writer, pid_t logger);
  void note_logger(pid_t pid);
  void on_logger_death(int wait_status);
  void on_logger_end(const std::string& how);
  void start_logger_if_due();

  // ---- daemon (daemon.cc) ----
  void go_to_background();

  // ---- upgrade (upgrade.cc) ----
  void upgrade();
  void start_successor();
  void on_successor_end(int wait_status);
  void on_other_arbiter();
  void promote_if_due();
  void leave_listeners();
  void remember_clients_of(const std::vector<BoundListener>& listeners);
  [[nodiscard]] const char* own_name() const { return old_arbiter_ != 0 ? "Master.2" : "Master"; }
  [[nodiscard]] std::string pidfile_path() const;
  void show_title() const;

  // ---- loop (arbiter.cc) ----
  void turn(int timeout_ms);
  void on_event(const epoll_event& event);
  [[nodiscard]] int timeout_ms() const;
  void watch(int fd, std::uint32_t events, std::uint64_t token);
  void wake_at(std::int64_t at_ns);
  void note_own_delay(std::int64_t expected_ns);

  // ---- workers (workers.cc) ----
  void manage_workers();
  void fork_worker();
  void on_forked(std::unique_ptr<WorkerProcess> worker, const Answer& answer);
  void on_control(WorkerProcess& worker);
  void on_keeper(int fd);
  static void release(const WorkerProcess& worker, int connection_fd);
  void on_worker_ready(WorkerProcess& worker);
  void on_worker_leaving(WorkerProcess& worker, const std::string& why);
  static void send_order(const WorkerProcess& worker, heartbeat::Verb verb);
  void drain(WorkerProcess& worker, std::uint32_t how = heartbeat::Drain::kLeave);
  void replace_worn_out();
  [[nodiscard]] bool stopping_alone() const {
    return state_ == State::Stopping && !other_arbiter_.valid();
  }
  void signal_worker(const WorkerProcess& worker, int signal);
  void kill_worker(WorkerProcess& worker, std::string reason, std::string ref);
  void kill_worker_after(WorkerProcess& worker, std::int64_t grace_ns, std::string reason);
  void kill_if_due(WorkerProcess& worker);
  WorkerProcess* best_adopter(const WorkerProcess* not_this);
  static bool send_connection(WorkerProcess& to, const ClientConnection& connection,
                              bool came_back);
  void let_others_look(const WorkerProcess* than);
  void on_passed_on(WorkerProcess& worker, heartbeat::Verb how, ClientConnection connection);
  void call_for_offers();
  void place_offer(WorkerProcess& from, ClientConnection connection);
  void adopt(ClientConnection connection);
  void place_orphans();
  enum class Placing { Done, Busy, NobodyYet };
  Placing place(const ClientConnection& connection);
  static void forget_adopted(WorkerProcess& worker);
  void take_back(WorkerProcess& worker, ClientConnection connection);
  [[nodiscard]] bool is_client(int fd) const;
  void rescue_orders(WorkerProcess& worker, const base::UniqueFd& control);
  void hook(const char* name, const HookArguments& arguments = {});
  WorkerProcess* worker_by_pid(pid_t pid);

  // ---- supervision (supervise.cc) ----
  void supervise();
  [[nodiscard]] bool settled() const;
  void supervise_worker(WorkerProcess& worker);
  static void note_wear(WorkerProcess& worker);
  void supervise_slot(WorkerProcess& worker, std::uint32_t index);
  void supervise_boot(WorkerProcess& worker);
  void note_end(SlotWatch& watch);
  void limit_memory(WorkerProcess& worker);
  void sample_boot(diagnose::Inspector& inspector, SlotWatch& watch, pid_t pid,
                   std::int64_t began_ns, std::int64_t limit_ns);
  void take_look(diagnose::Inspector& inspector, SlotWatch& watch, const diagnose::Target& target,
                 std::int64_t deadline_ns, std::int64_t limit_ns);
  void judge(WorkerProcess& worker, std::uint32_t index);
  void abort_when_alone(WorkerProcess& worker);
  diagnose::Evidence evidence_of(pid_t pid) const;
  void watch_overload();
  void tell_overload(std::uint64_t waiting, std::int64_t lasts_ns);
  void on_told(const WorkerProcess& worker, std::string_view text);
  void answer_or_cut(WorkerProcess& worker, heartbeat::Slot& slot,
                     const heartbeat::TakenAnswer& taken, int status, const std::string& ref);
  [[nodiscard]] bool others_running(const WorkerProcess& worker) const;
  void give_up_thread(WorkerProcess& worker, const std::string& ref);

  // ---- one request ended, the worker spared (interrupt.cc) ----
  void interrupt(WorkerProcess& worker, std::uint32_t index, const std::string& ref);
  void attend_interrupted(WorkerProcess& worker, std::uint32_t index);

  // ---- death (reap.cc) ----
  void reap();
  void on_worker_death(WorkerProcess& worker, int wait_status);
  std::string reference_of_death(const WorkerProcess& worker);
  void explain_death(WorkerProcess& worker, int wait_status, const std::string& ref);
  void answer_clients_of(WorkerProcess& worker, const std::string& ref, int status);
  static void ask_for_strays(WorkerProcess& worker);
  static void settle(WorkerProcess& worker, int fd, const std::string& farewell);
  void on_boot_failure(int exit_code);

  // ---- signals (signals.cc) ----
  void on_signals();
  void handle_early_signals();
  void on_signal(int signal);
  void stop(bool graceful);
  void end_boot(WorkerProcess& worker);
  void finish_stop();
  void finish_hooks();
  void cut_remaining();
  void cut_worker(WorkerProcess& worker, const std::string& why);

  // ---- the end of what is late at a stop (cut.cc) ----
  void look_before_cut(WorkerProcess& worker, std::int64_t cut_at_ns);
  void cut_request(WorkerProcess& worker, std::uint32_t index);
  [[nodiscard]] std::string what_keeps(WorkerProcess& worker);
  void tell_if_stuck(WorkerProcess& worker);
  void leave_stuck_behind();
  void close_doors_of(WorkerProcess& worker);
  void change_workers(int by);

  // ---- control socket (control.cc) ----
  void open_control();
  void open_default_control();
  void close_control();
  void promote_control();
  void name_control();
  void attend_control();
  void attend_profiler();
  std::optional<std::string> on_control_request(ControlSocket::Ticket ticket,
                                                std::string_view request);

  // ---- reload (reload.cc) ----
  void reload();
  void on_new_conf(const Answer& answer);
  void take_new_conf(Options options);
  [[nodiscard]] base::Result<BoundListener> bind_again(const std::string& address) const;
  void commit_reload();
  void abandon_reload(const std::string& why);
  void roll_back();
  void after_reload_ready();

  Program program_;
  ConfLocation conf_;
  Resolve resolve_;
  Options options_;
  base::Log log_;
  base::UniqueFd log_reader_;  // until the spawner has it
  base::UniqueFd log_writer_;
  PythonLogger python_logger_;
  net::Statsd statsd_;
  unsigned workers_told_ = UINT32_MAX;  // of the last gauge
  std::int64_t backlog_told_ns_ = 0;
  Incidents incidents_{log_};
  diagnose::KernelLog kernel_log_;
  References references_;
  OverloadWatch overload_;
  Pidfile pidfile_;
  Notifier notifier_;
  std::int64_t patience_until_ns_ = 0;  // the service manager waits for a start or stop until then
  bool background_wanted_ = false;
  bool in_background_ = false;
  bool titles_ = false;  // processes have names in ps
  net::Poller poller_;
  base::UniqueFd signals_;
  ControlSocket control_;
  std::string control_link_;  // names a control socket that lies elsewhere; empty: none
  std::int64_t control_due_ns_ = 0;
  std::int64_t started_ns_ = 0;
  std::uint64_t answered_by_dead_ = 0;  // requests of workers that have ended
  std::array<std::uint64_t, heartbeat::kLatencyBuckets> latency_of_dead_{};
  std::unique_ptr<Profiler> profiler_;  // null: nobody wants a profile
  PathStatistics paths_;
  LoadHistory load_;
  Pace pace_;
  bool memory_limit_told_ = false;

  State state_ = State::Starting;
  bool announced_ = false;  // said where we listen: from here on a stop is told, and on_exit runs
  std::vector<int> early_signals_;  // came while starting
  int exit_status_ = 0;
  bool done_ = false;
  std::optional<SpawnerClient> spawner_;
  bool spawner_settled_ = false;
  std::vector<BoundListener> listeners_;
  std::vector<net::Endpoint> left_endpoints_;  // of listeners that are closed: clients remain
  std::vector<ino_t> left_doors_;  // of sockets that are closed here, and in nobody else's hands
  std::map<pid_t, std::unique_ptr<WorkerProcess>> workers_;
  std::map<int, std::unique_ptr<WorkerProcess>>
      buried_;                            // dead, their keeper still answers; by keeper fd
  std::deque<ClientConnection> orphans_;  // connections that wait for a ready worker
  unsigned target_workers_ = 0;
  unsigned forks_pending_ = 0;
  int next_age_ = 0;
  unsigned generation_ = 0;
  bool ever_ready_ = false;
  unsigned boot_failures_ = 0;  // in a row
  std::int64_t fork_not_before_ns_ = 0;
  std::int64_t wake_ns_ = 0;  // when something must be done without an event
  std::int64_t judge_not_before_ns_ = 0;
  SlowWatch slow_watch_{options_, incidents_, references_, log_};
  bool graceful_ = true;
  std::int64_t stop_by_ns_ = 0;
  std::string stop_reason_;

  struct Reload {  // a new generation that has not proved itself
    std::optional<SpawnerClient> old_spawner;
    Options old_options;
    std::vector<BoundListener> old_listeners;
    unsigned old_target = 0;
    Outputs outputs;  // of the new generation
  };
  std::unique_ptr<Reload> reload_;
  std::optional<SpawnerClient> next_spawner_;

  struct PreloadWatch {  // of a spawner that imports the application
    PreloadWatch(pid_t spawner, heartbeat::Page shared);
    pid_t pid;
    heartbeat::Page page;
    diagnose::Inspector inspector;
    SlotWatch watch;
    std::int64_t began_ns;
    bool told = false;
    bool ended = false;  // by us
  };
  std::unique_ptr<PreloadWatch> preload_watch_;  // null: none does
  bool reload_wanted_ = false;
  bool reload_failed_ = false;
  bool reload_again_ = false;  // HUP came during a reload

  // Upgrade by USR2: two arbiters with the same listeners, until one of them leaves.
  pid_t old_arbiter_ = 0;         // its child we are
  pid_t new_arbiter_ = 0;         // our child
  base::UniqueFd other_arbiter_;  // idle connections pass through it to the one that stays
  bool upgrade_wanted_ = false;   // USR2 came during a reload
  bool pre_exec_runs_ = false;
  bool managed_sockets_ = false;        // listeners came by LISTEN_FDS
  std::vector<SpawnerClient> retired_;  // spawners that are let go outside their own callback
};

}  // namespace tricorn::arbiter
