#include "arbiter/spawner_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace tricorn::arbiter {
namespace {

constexpr std::size_t kAnswerBytesMax = 256 * 1024;
constexpr std::size_t kFdsMax = 64;
using Json = nlohmann::json;

Answer parse_answer(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  Answer answer;
  answer.text = "the spawner's answer is no JSON";
  if (!json.is_object()) return answer;
  answer.ok = json.value("ok", false);
  answer.text = json.value("text", answer.ok ? "" : "the spawner gave no reason");
  if (json.contains("said")) answer.said = json.at("said").get<std::string>();
  answer.exit_status = json.value("exit", 1);
  answer.pid = json.value("pid", -1);
  answer.titles = json.value("titles", false);
  if (json.contains("values")) answer.values_json = json.at("values").dump();
  return answer;
}

// posix_spawn: the child must get default signals and an empty mask, not the arbiter's blocked
// ones.
base::Result<pid_t> spawn(const std::vector<std::string>& command, int channel) {
  std::vector<const char*> argv;
  for (const std::string& word : command) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  const std::string meet = fmt::format("TRICORN_CHANNEL={} {}", channel, ::getpid());
  std::vector<const char*> surroundings{meet.c_str()};
  for (char** variable = environ; *variable != nullptr; ++variable)
    surroundings.push_back(*variable);
  surroundings.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, argv[0], nullptr, &attributes, const_cast<char**>(argv.data()),
                     const_cast<char**>(surroundings.data()));
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return base::fail_errno("start of " + command[0], failed);
  return pid;
}

ssize_t send_with_fds(int channel, const std::string& text,
                      const std::vector<base::UniqueFd>& fds) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))] = {};
  if (!fds.empty()) {
    const std::size_t bytes = fds.size() * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  return ::sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

base::Result<SpawnerClient> SpawnerClient::start(const std::vector<std::string>& command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return base::fail_errno("socketpair", errno);
  SpawnerClient client;
  client.channel_.reset(ends[0]);
  const base::UniqueFd theirs(ends[1]);
  ::fcntl(theirs.get(), F_SETFD, 0);  // the spawner keeps this one over exec
  auto pid = spawn(command, theirs.get());
  if (!pid) return base::Unexpected{pid.error()};
  client.pid_ = *pid;
  return client;
}

std::optional<SpawnerClient> SpawnerClient::adopt() {
  constexpr const char* kVariable = "TRICORN_FIRST_SPAWNER";
  const char* said = std::getenv(kVariable);
  if (said == nullptr) return std::nullopt;
  int channel = -1;
  int pid = -1;
  const bool complete = std::sscanf(said, "%d %d", &channel, &pid) == 2;
  ::unsetenv(kVariable);
  int type = 0;
  socklen_t size = sizeof type;
  if (!complete || ::getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET || ::waitpid(pid, nullptr, WNOHANG) != 0)
    return std::nullopt;  // left over from another server
  ::fcntl(channel, F_SETFD, FD_CLOEXEC);
  SpawnerClient client;
  client.channel_.reset(channel);
  client.pid_ = pid;
  return client;
}

void SpawnerClient::load(const std::string& location, bool explicitly_named,
                         const std::vector<std::string>& argv, OnAnswer on_answer) {
  const Json request{
      {"do", "load"}, {"config", location}, {"explicit", explicitly_named}, {"argv", argv}};
  ask(request.dump(), {}, std::move(on_answer));
}

void SpawnerClient::settle(const std::string& settings_json, const std::string& app,
                           const std::vector<int>& log_channel, OnAnswer on_answer) {
  ask(Json{{"do", "settle"}, {"settings_json", settings_json}, {"app", app}}.dump(), log_channel,
      std::move(on_answer));
}

void SpawnerClient::listen(const std::vector<std::string>& names, const std::vector<int>& fds,
                           OnAnswer on_answer) {
  ask(Json{{"do", "listen"}, {"names", names}}.dump(), fds, std::move(on_answer));
}

void SpawnerClient::reopen_logs(OnAnswer on_answer) {
  ask(Json{{"do", "reopen_logs"}}.dump(), {}, std::move(on_answer));
}

void SpawnerClient::start_logger(OnAnswer on_answer) {
  ask(Json{{"do", "start_logger"}}.dump(), {}, std::move(on_answer));
}

void SpawnerClient::leave_listeners(OnAnswer on_answer) {
  ask(Json{{"do", "leave_listeners"}}.dump(), {}, std::move(on_answer));
}

void SpawnerClient::preload(int page, OnAnswer on_answer) {
  ask(Json{{"do", "preload"}}.dump(), page < 0 ? std::vector<int>() : std::vector<int>{page},
      std::move(on_answer));
}

void SpawnerClient::look_up(const std::vector<std::string>& hosts, OnAnswer on_answer) {
  ask(Json{{"do", "look_up"}, {"hosts", hosts}}.dump(), {}, std::move(on_answer));
}

void SpawnerClient::fork(int age, const std::vector<int>& fds, OnAnswer on_answer) {
  ask(Json{{"do", "fork"}, {"age", age}}.dump(), fds, std::move(on_answer));
}

void SpawnerClient::hook(const std::string& name, const HookArguments& arguments,
                         OnAnswer on_answer) {
  Json request{{"do", "hook"}, {"name", name}};
  if (arguments.pid != 0) request.update({{"pid", arguments.pid}, {"age", arguments.age}});
  if (arguments.workers_now) {
    Json before = arguments.workers_before ? Json(*arguments.workers_before) : Json(nullptr);
    request["args"] = Json::array({*arguments.workers_now, std::move(before)});
  }
  ask(request.dump(), {}, std::move(on_answer));
}

void SpawnerClient::ask(std::string request, const std::vector<int>& fds, OnAnswer on_answer) {
  Request queued{std::move(request), {}, std::move(on_answer)};
  for (const int fd : fds) queued.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  requests_.push_back(std::move(queued));
  if (requests_.size() == 1) send_next();
}

void SpawnerClient::send_next() {
  if (requests_.empty()) return;
  Request& request = requests_.front();
  // One request at a time fits the socket's buffer; if it does not go, the spawner is gone or never
  // reads, and its end of the channel will tell.
  static_cast<void>(send_with_fds(channel_.get(), request.text, request.fds));
  request.fds.clear();
}

void SpawnerClient::let_go() { ::shutdown(channel_.get(), SHUT_WR); }

bool SpawnerClient::on_readable() {
  std::string text(kAnswerBytesMax, '\0');
  const ssize_t got = ::recv(channel_.get(), text.data(), text.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0 || requests_.empty()) return false;
  text.resize(static_cast<std::size_t>(got));
  const Request answered = std::move(requests_.front());
  requests_.pop_front();
  send_next();
  answered.on_answer(parse_answer(text));
  return true;
}

void SpawnerClient::fail_all(const std::string& why) {
  std::deque<Request> lost;
  lost.swap(requests_);
  Answer answer;
  answer.text = why;
  for (const Request& request : lost) request.on_answer(answer);
}

}  // namespace tricorn::arbiter
