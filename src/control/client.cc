#include "control/client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/clock.h"
#include "config/control_paths.h"

namespace tricorn::control {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kHelloSeconds = 2;
constexpr std::int64_t kSecond = 1'000'000'000;
// Bytes of an answer, more than a server sends.
constexpr std::size_t kAnswerMax = std::size_t{64} << 20;
constexpr std::size_t kSocketsLookedAt = 256;

base::Unexpected no_server(std::string text) { return base::fail(std::move(text), kNoServer); }

bool wait_for(int fd, short events, std::int64_t until_ns) {
  for (;;) {
    const std::int64_t left_ms = (until_ns - base::monotonic_ns()) / 1'000'000;
    if (left_ms <= 0) return false;
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left_ms, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool send_all(int fd, std::string_view bytes, std::int64_t until_ns) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, until_ns))) {
      return false;
    }
  }
  return true;
}

base::Result<std::string> read_line(int fd, std::int64_t until_ns) {
  std::string line;
  std::array<char, 65536> buffer;
  while (line.empty() || line.back() != '\n') {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return no_server("the server closed the connection before it answered");
    if (got < 0 && errno != EAGAIN)
      return no_server("read the answer: " + std::string(std::strerror(errno)));
    if (got < 0 && !wait_for(fd, POLLIN, until_ns))
      return no_server("the server did not answer in time");
    if (got > 0) line.append(buffer.data(), static_cast<std::size_t>(got));
    if (line.size() > kAnswerMax) return no_server("the answer is too long");
  }
  return line;
}

/// Control sockets below these directories, each once though it may have two names.
std::vector<std::string> sockets_in(const std::vector<std::string>& directories,
                                    const std::string& prefix) {
  std::vector<std::string> found;
  std::set<std::string> known;
  std::error_code none;
  for (const std::string& directory : directories) {
    for (const auto& entry : fs::directory_iterator(directory, none)) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(config::kControlSuffix) || !name.starts_with(prefix)) continue;
      const std::string real = fs::weakly_canonical(entry.path(), none).string();
      if (found.size() < kSocketsLookedAt && known.insert(real).second)
        found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

struct Living {
  std::string path;
  std::string name;  ///< for a person to choose by
};

std::vector<Living> living_among(const std::vector<std::string>& paths) {
  std::vector<Living> living;
  for (const std::string& path : paths) {
    auto client = Client::connect(path);
    if (!client) continue;
    const auto hello = client->ask({{"command", "hello"}}, kHelloSeconds);
    if (!hello) continue;
    const auto text = [&hello](const char* key) {
      const auto value = hello->find(key);
      return value != hello->end() && value->is_string() ? value->get<std::string>() : "?";
    };
    living.push_back({path, fmt::format("pid {}, {}, {}", hello->value("pid", 0), text("app"),
                                        text("listening"))});
  }
  return living;
}

base::Result<std::string> only_one(const std::vector<Living>& living, const std::string& nobody) {
  if (living.size() == 1) return living.front().path;
  if (living.empty()) return no_server(nobody);
  std::string text = "several servers answer; choose one with -s PATH:";
  for (const Living& one : living) text += fmt::format("\n  {}  ({})", one.path, one.name);
  return no_server(text);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// Variables of another process; our own where they cannot be read.
config::Variable environment_of(const std::string& environ) {
  if (environ.empty()) return std::getenv;
  return [&environ](const char* name) -> const char* {
    const std::string wanted = fmt::format("{}=", name);
    for (std::size_t at = 0; at < environ.size(); at = environ.find('\0', at) + 1) {
      if (environ.compare(at, wanted.size(), wanted) == 0)
        return environ.c_str() + at + wanted.size();
      if (environ.find('\0', at) == std::string::npos) break;
    }
    return nullptr;
  };
}

}  // namespace

base::Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return no_server(fmt::format("'{}' cannot be a socket's path", path));
  std::memcpy(address.sun_path, path.data(), path.size());
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return no_server(fmt::format("no server at '{}': {}", path, std::strerror(errno)));
  return Client(std::move(fd));
}

base::Result<Json> Client::ask(Json request, int seconds) {
  const std::int64_t until = base::monotonic_ns() + seconds * kSecond;
  request["v"] = 1;
  if (!send_all(fd_.get(), request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n",
                until))
    return no_server("the server does not take the request");
  auto line = read_line(fd_.get(), until);
  if (!line) return base::Unexpected{line.error()};
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object() || !answer.contains("ok") || !answer["ok"].is_boolean())
    return no_server("the answer is not a control socket's");
  if (!answer["ok"].get<bool>()) {
    return base::fail(answer.contains("error") && answer["error"].is_string()
                          ? answer["error"].get<std::string>()
                          : "the server said no");
  }
  return answer.contains("data") ? answer["data"] : Json();
}

base::Result<std::string> find_socket() {
  const auto directories = config::control_directories(std::getenv, ::geteuid());
  return only_one(living_among(sockets_in(directories, "")),
                  fmt::format("no server answers (looked in {}); name its socket with -s PATH or "
                              "its pidfile with --pid FILE",
                              joined(directories)));
}

base::Result<std::string> find_socket_of(const std::string& pid_file) {
  std::ifstream file(pid_file);
  pid_t pid = 0;
  if (!(file >> pid) || pid <= 0)
    return no_server(fmt::format("no process id in pidfile '{}'", pid_file));
  struct stat process {};
  if (::stat(fmt::format("/proc/{}", pid).c_str(), &process) != 0)
    return no_server(fmt::format("pidfile '{}': no process {}", pid_file, pid));
  std::ifstream environ_file(fmt::format("/proc/{}/environ", pid), std::ios::binary);
  const std::string environ{std::istreambuf_iterator<char>(environ_file), {}};
  const auto directories = config::control_directories(environment_of(environ), process.st_uid);
  auto paths = sockets_in(directories, std::to_string(pid));
  std::erase_if(paths, [pid](const std::string& path) {  // 12 is not 123
    const char after = fs::path(path).filename().string()[std::to_string(pid).size()];
    return after != '.' && after != '-';
  });
  return only_one(living_among(paths),
                  fmt::format("no control socket of process {} answers (looked in {}); is it a "
                              "tricorn server, started without --no-control-socket?",
                              pid, joined(directories)));
}

}  // namespace tricorn::control
