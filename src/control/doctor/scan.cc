#include "control/doctor/scan.h"

#include <vector>

namespace tricorn::control::doctor {
namespace {

struct Phrase {
  Word word;
  std::string_view text;
};

constexpr Phrase kPhrases[] = {
    {Word::LevelCritical, "[CRITICAL]"},
    {Word::LevelError, "[ERROR]"},
    {Word::LevelWarning, "[WARNING]"},
    {Word::LevelInfo, "[INFO]"},
    {Word::LevelDebug, "[DEBUG]"},
    {Word::Http, "HTTP/"},
    {Word::Traceback, "Traceback (most recent call last)"},
    {Word::FrameFile, "File \""},
    {Word::SystemExit, "SystemExit"},
    {Word::ChainedDuring, "During handling of the above exception"},
    {Word::ChainedCause, "The above exception was the direct cause"},
    {Word::FatalAborted, "Fatal Python error: Aborted"},
    {Word::MostRecentFirst, "(most recent call first)"},
    {Word::WorkerTimeout, "WORKER TIMEOUT (pid:"},
    {Word::RequestTimeout, "Request timeout (pid:"},
    {Word::SlowRequest, "Slow request (pid:"},
    {Word::OverloadQueue, "overload.queue: "},
    {Word::WorkerParen, "Worker (pid:"},
    {Word::WorkerWithPid, "Worker with pid "},
    {Word::Booting, "Booting worker with pid"},
    {Word::WorkerExiting, "Worker exiting (pid:"},
    {Word::FailedRequest, "Error handling request"},
    {Word::StartingGunicorn, "Starting gunicorn "},
    {Word::StartingTricorn, "Starting tricorn "},
    {Word::HandlingSignal, "Handling signal: "},
    {Word::HangUp, "Hang up: "},
    {Word::AppStarted, "Application startup complete"},
    {Word::AppStartupFailed, "Application startup failed"},
    {Word::ServerProcess, "Started server process ["},
    {Word::Autorestart, "Autorestarting worker"},
    {Word::AutoRestartDash, "Auto-restarting worker"},
    {Word::WorkerReloading, "Worker reloading: "},
    {Word::BootException, "Exception in worker process"},
    {Word::FailedToBoot, "Worker failed to boot"},
    {Word::AppFailed, "App failed to load"},
    {Word::ClassUri, "class uri "},
    {Word::ReadConfigFailed, "Failed to read config file"},
    {Word::ListeningAt, "Listening at: "},
    {Word::ConnectionInUse, "Connection in use"},
    {Word::AddressInUse, "Address already in use"},
    {Word::AddressInUseLower, "address already in use"},
    {Word::Errno98, "[Errno 98]"},
    {Word::Killed, "Killed process "},
    {Word::Kill, "Kill process "},
    {Word::OomKill, "oom-kill:"},
    {Word::OomInvoked, "invoked oom-killer"},
    {Word::OutOfMemory, "ut of memory: Kill"},
    {Word::OomReaper, "oom_reaper: reaped"},
    {Word::OomKilledReason, "OOMKilled"},
    {Word::Segfault, "segfault at "},
    {Word::MemoryError, "MemoryError"},
    {Word::CannotAllocate, "Cannot allocate memory"},
    {Word::MemoryLimit, "Memory limit of "},
    {Word::SoftMemoryLimit, "Exceeded soft memory limit of "},
    {Word::HardMemoryLimit, "Exceeded hard memory limit of "},
    {Word::EcsMemory, "Container killed due to memory usage"},
    {Word::ContainerId, "Container ID:"},
    {Word::InspectId, "\"Id\":"},
    {Word::HerokuR10, "Error R10 "},
    {Word::HerokuR12, "Error R12 "},
    {Word::HerokuR14, "Error R14 "},
    {Word::HerokuR15, "Error R15 "},
    {Word::HerokuH12Old, "Error H12 "},
    {Word::HerokuH12, "code=H12"},
    {Word::HerokuH20, "code=H20"},
    {Word::HerokuH20Old, "Error H20 "},
    {Word::SiteStart, "failing site start"},
    {Word::StartSite, "Failed to start site."},
    {Word::Pings, "didn't respond to HTTP pings"},
    {Word::CrashLoop, "CrashLoopBackOff"},
    {Word::AppService, "A P P   S E R V I C E"},
    {Word::AppCommandLine, "appCommandLine"},
    {Word::OryxLower, "oryx"},
    {Word::OryxUpper, "Oryx"},
    {Word::AzureSites, "azurewebsites"},
    {Word::WwwRoot, "/home/site/wwwroot"},
    {Word::Website, "WEBSITE"},
    {Word::Running, "==> Running"},
    {Word::StartingProcess, "Starting process with command"},
    {Word::Gunicorn, "gunicorn"},
    {Word::CmdArgs, "GUNICORN_CMD_ARGS"},
    {Word::TimeoutColon, "timeout: "},
    {Word::TimeoutKey, "\"timeout\""},
    {Word::TimeoutEquals, "timeout  "},
    {Word::CurrentConfiguration, "Current configuration"},
    {Word::Exit137, "137"},
    {Word::Sigterm, "SIGTERM"},
    {Word::Sigkill, "SIGKILL"},
    {Word::LivenessLower, "liveness probe"},
    {Word::LivenessUpper, "Liveness probe"},
    {Word::DockerStop, "docker stop"},
    {Word::GracefullyStopping, "Gracefully stopping"},
    {Word::StoppingContainer, "Stopping container"},
};
static_assert(std::size(kPhrases) == kWords);

std::size_t pair_of(const char* text) {
  return static_cast<std::size_t>(static_cast<unsigned char>(text[0])) << 8U |
         static_cast<unsigned char>(text[1]);
}

// Phrases by their first two bytes: a bit says whether any begins so, a chain has those that do.
struct Table {
  std::array<std::uint64_t, 1024> begins{};
  std::array<std::uint8_t, 65536> first{};
  std::array<std::uint8_t, kWords + 1> next{};

  Table() {
    for (std::size_t index = 0; index < kWords; ++index) {
      const std::size_t pair = pair_of(kPhrases[index].text.data());
      begins[pair / 64] |= std::uint64_t{1} << (pair % 64);
      next[index + 1] = first[pair];
      first[pair] = static_cast<std::uint8_t>(index + 1);
    }
  }
};

}  // namespace

Hits scan(std::string_view text) {
  static const Table kTable;
  Hits hits;
  if (text.size() < 3) return hits;
  const char* const bytes = text.data();
  for (std::size_t at = 0; at + 2 < text.size(); ++at) {
    const std::size_t pair = pair_of(bytes + at);
    if ((kTable.begins[pair / 64] >> (pair % 64) & 1U) == 0) continue;
    for (std::uint8_t link = kTable.first[pair]; link != 0; link = kTable.next[link]) {
      const Phrase& phrase = kPhrases[link - 1];
      if (text.substr(at).starts_with(phrase.text)) hits.note(phrase.word, at);
    }
  }
  return hits;
}

}  // namespace tricorn::control::doctor
