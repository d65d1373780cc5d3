#include "control/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "control/render.h"

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kPauseMs = 1000;
// Source: ECMA-48 and xterm: alternate screen, cursor, home, erase below
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l";
constexpr const char* kLeave = "\x1b[?25h\x1b[?1049l";

double number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

/// CPU of one worker since the screen before: "12%".
std::string cpu_text(const Json& worker, const Json& before, double seconds) {
  for (const Json& earlier : before) {
    if (member(earlier, "pid") != member(worker, "pid") || seconds <= 0) continue;
    const double used = number(worker, "cpu_s") - number(earlier, "cpu_s");
    return fmt::format("{:.0f}%", std::max(0.0, used) / seconds * 100);
  }
  return "-";
}

std::string rate_text(const Json& worker, const Json& before, double seconds) {
  for (const Json& earlier : before) {
    if (member(earlier, "pid") != member(worker, "pid") || seconds <= 0) continue;
    return fmt::format(
        "{:.0f}",
        std::max(0.0, number(worker, "requests") - number(earlier, "requests")) / seconds);
  }
  return "-";
}

/// The terminal as a screen of ours, given back at the end.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);  // Ctrl-C is a key too
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    std::fputs(kEnter, stdout);
  }
  ~Screen() {
    std::fputs(kLeave, stdout);
    std::fflush(stdout);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static void show(const std::string& text) {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
    const int rows = known ? size.ws_row : 24;
    const int columns = known ? size.ws_col : 80;
    std::string out = "\x1b[H";
    for (const char c : fitted(text, rows - 1, columns))
      out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
    out += "\x1b[J\x1b[7m q quits \x1b[0m";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }

  /// Waits for a key or the next screen. @return whether to go on
  static bool wait() {
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    const int ready = ::poll(&keys, 1, kPauseMs);  // a new size of the window ends it too
    if (ready <= 0) return ready == 0 || errno == EINTR;
    char key = 0;
    const ssize_t got = ::read(STDIN_FILENO, &key, 1);
    return got == 1 && key != 'q' && key != 'Q' && key != '\x03' && key != '\x04';
  }

 private:
  termios before_{};
};

void on_resize(int) {}

int lost(const base::Error& error) {
  std::fprintf(stderr, "tricornctl: %s\n", error.text.c_str());
  return error.code == kNoServer ? 2 : 1;
}

}  // namespace

base::Result<Json> look(Client& client) {
  Json seen;
  for (const char* command : {"status", "workers", "requests"}) {
    auto answer = client.ask({{"command", command}});
    if (!answer) return base::Unexpected{answer.error()};
    seen[command] = std::move(*answer);
  }
  return seen;
}

std::string screen_of(const Json& seen, const Json& before, double seconds) {
  std::vector<std::vector<std::string>> rows = {
      {"PID", "STATE", "BUSY", "QUEUED", "REQUESTS", "REQ/S", "RSS", "CPU", "LAST INCIDENT"}};
  for (const Json& worker : seen.at("workers")) {
    const auto incident = worker.find("last_incident");
    const bool has_one = incident != worker.end() && incident->is_object();
    rows.push_back({member(worker, "pid"),
                    member(worker, "process_state") == "T" ? "stopped" : member(worker, "state"),
                    fmt::format("{}/{}", member(worker, "running"), member(worker, "threads")),
                    member(worker, "queued"), member(worker, "requests"),
                    rate_text(worker, before, seconds),
                    bytes_text(static_cast<std::int64_t>(number(worker, "rss_bytes"))),
                    cpu_text(worker, before, seconds), has_one ? member(*incident, "class") : "-"});
  }
  return render_status(seen.at("status")) + "\n" + table(rows) + "\n" +
         render_requests(seen.at("requests"));
}

std::string fitted(const std::string& screen, int rows, int columns) {
  std::string out;
  int row = 0;
  int column = 0;
  for (const char c : screen) {
    if (c == '\n') {
      if (++row >= rows) return out;
      column = 0;
      out += c;
      continue;
    }
    if ((c & 0xC0) != 0x80) ++column;
    if (column <= columns) out += c;
  }
  return out;
}

int top(Client client, bool once) {
  const bool live = !once && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  auto seen = look(client);
  if (!seen) return lost(seen.error());
  if (!live) {
    const std::string text = screen_of(*seen, Json::array(), 0);
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  }
  struct sigaction action {};
  action.sa_handler = on_resize;
  ::sigaction(SIGWINCH, &action, nullptr);
  base::Error error;
  {
    const Screen screen;
    Json before = Json::array();
    std::int64_t before_ns = base::monotonic_ns();
    do {
      const std::int64_t now = base::monotonic_ns();
      Screen::show(screen_of(*seen, before, static_cast<double>(now - before_ns) / 1e9));
      before = seen->at("workers");
      before_ns = now;
      if (!Screen::wait()) return 0;
      seen = look(client);
    } while (seen);
    error = seen.error();
  }
  return lost(error);
}

}  // namespace tricorn::control
