#include "control/doctor/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace tricorn::control::doctor {
namespace {

constexpr std::size_t kBlockBytes = 1UL << 20U;

// Cuts blocks into lines and hands them on; decodes UTF-16 first when the log begins with its mark.
class LineCutter {
 public:
  explicit LineCutter(Reading& reading) : reading_(reading) {}

  void feed(std::string_view block) {
    if (first_) {
      first_ = false;
      const std::string_view mark = block.substr(0, 2);
      wide_ = mark == "\xFF\xFE" ? 1 : mark == "\xFE\xFF" ? 2 : 0;
      if (wide_ != 0) block.remove_prefix(2);
    }
    if (wide_ == 0) return cut(block);
    narrow_.clear();
    for (const char byte : block) widen(byte);
    cut(narrow_);
  }

  void end() {
    if (!kept_.empty()) reading_.read(kept_);
  }

 private:
  void widen(char byte) {
    if (!half_) {
      half_ = true;
      low_ = byte;
      return;
    }
    half_ = false;
    const auto high = static_cast<unsigned char>(wide_ == 1 ? byte : low_);
    const auto low = static_cast<unsigned char>(wide_ == 1 ? low_ : byte);
    // What a log says that matters here is ASCII.
    narrow_ += high == 0 ? static_cast<char>(low) : '?';
  }

  void cut(std::string_view block) {
    while (!block.empty()) {
      const std::size_t end = block.find('\n');
      const std::string_view part = block.substr(0, end);
      if (end == std::string_view::npos || !kept_.empty())
        kept_.append(part.substr(0, kLineBytesMax - std::min(kLineBytesMax, kept_.size())));
      if (end == std::string_view::npos) return;
      reading_.read(kept_.empty() ? part.substr(0, kLineBytesMax) : std::string_view(kept_));
      kept_.clear();
      block.remove_prefix(end + 1);
    }
  }

  Reading& reading_;
  std::string kept_;
  std::string narrow_;
  bool first_ = true;
  int wide_ = 0;  ///< 1 UTF-16LE, 2 UTF-16BE
  bool half_ = false;
  char low_ = 0;
};

int terminal_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int given = columns == nullptr ? 0 : std::atoi(columns);
  constexpr int kUsual = 100;
  return given > 0 ? given : kUsual;
}

bool wants_colour() { return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

int status_of(const Report& report) {
  if (report.known == 0) return 2;
  return report.findings.size() == 1 && report.findings[0].id == "no_problem" ? 0 : 1;
}

bool print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

}  // namespace

base::Result<Report> diagnose(int fd, const std::string& name) {
  auto reading = std::make_unique<Reading>();
  LineCutter cutter(*reading);
  std::string block(kBlockBytes, '\0');
  bool first = true;
  while (true) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("read " + name, errno);
    if (got == 0) break;
    const std::string_view bytes(block.data(), static_cast<std::size_t>(got));
    if (first && bytes.starts_with("\x1F\x8B"))
      return base::fail(name + " is compressed: zcat it into tricornctl doctor -");
    first = false;
    cutter.feed(bytes);
  }
  cutter.end();
  return reading->finish();
}

base::Result<Report> diagnose_file(const std::string& path) {
  if (path == "-") return diagnose(STDIN_FILENO, "standard input");
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return base::fail_errno("open " + path, errno);
  return diagnose(fd.get(), path);
}

int examine(const std::vector<std::string>& files, bool json) {
  const bool several = files.size() > 1;
  int status = 0;
  std::string out = json && several ? "{\"files\": [" : "";
  bool printed = false;
  for (const std::string& file : files) {
    const auto report = diagnose_file(file);
    if (!report) {
      std::fprintf(stderr, "tricornctl doctor: %s\n", report.error().text.c_str());
      status = 2;
      if (!json || !several) continue;
      if (printed) out += ",\n";
      out += error_json(file, report.error().text);
      printed = true;
      continue;
    }
    if (report->known == 0)
      std::fprintf(stderr, "tricornctl doctor: %s holds no line that is known here\n",
                   file.c_str());
    status = std::max(status, status_of(*report));
    if (json) {
      if (several && printed) out += ",\n";
      out += to_json(*report, several ? file : "", several ? -1 : 2);
    } else {
      out += (printed ? "\n" : "") +
             to_text(*report, several ? file : "", terminal_width(), wants_colour());
    }
    printed = true;
  }
  if (json && several) out += "]}";
  if (json && (printed || several)) out += '\n';
  return print(out) ? status : 2;
}

}  // namespace tricorn::control::doctor
