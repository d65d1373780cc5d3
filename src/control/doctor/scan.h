// Finds, in one pass over a line, every phrase the doctor knows. Most lines have none: this pass is
// what reading gigabytes costs.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>

namespace tricorn::control::doctor {

/// Phrases that make a line worth a second look. The text of each is in scan.cc.
enum class Word : std::uint8_t {
  LevelCritical,
  LevelError,
  LevelWarning,
  LevelInfo,
  LevelDebug,
  Http,
  Traceback,
  FrameFile,
  SystemExit,
  ChainedDuring,
  ChainedCause,
  FatalAborted,
  MostRecentFirst,
  WorkerTimeout,
  RequestTimeout,
  SlowRequest,
  OverloadQueue,
  WorkerParen,
  WorkerWithPid,
  Booting,
  WorkerExiting,
  FailedRequest,
  StartingGunicorn,
  StartingTricorn,
  HandlingSignal,
  HangUp,
  AppStarted,
  AppStartupFailed,
  ServerProcess,
  Autorestart,
  AutoRestartDash,
  WorkerReloading,
  BootException,
  FailedToBoot,
  AppFailed,
  ClassUri,
  ReadConfigFailed,
  ListeningAt,
  ConnectionInUse,
  AddressInUse,
  AddressInUseLower,
  Errno98,
  Killed,
  Kill,
  OomKill,
  OomInvoked,
  OutOfMemory,
  OomReaper,
  OomKilledReason,
  Segfault,
  MemoryError,
  CannotAllocate,
  MemoryLimit,
  SoftMemoryLimit,
  HardMemoryLimit,
  EcsMemory,
  ContainerId,
  InspectId,
  HerokuR10,
  HerokuR12,
  HerokuR14,
  HerokuR15,
  HerokuH12Old,
  HerokuH12,
  HerokuH20,
  HerokuH20Old,
  SiteStart,
  StartSite,
  Pings,
  CrashLoop,
  AppService,
  AppCommandLine,
  OryxLower,
  OryxUpper,
  AzureSites,
  WwwRoot,
  Website,
  Running,
  StartingProcess,
  Gunicorn,
  CmdArgs,
  TimeoutColon,
  TimeoutKey,
  TimeoutEquals,
  CurrentConfiguration,
  Exit137,
  Sigterm,
  Sigkill,
  LivenessLower,
  LivenessUpper,
  DockerStop,
  GracefullyStopping,
  StoppingContainer,
  kCount
};
inline constexpr std::size_t kWords = static_cast<std::size_t>(Word::kCount);

/// Which phrases a line has, and where each was seen first.
class Hits {
 public:
  [[nodiscard]] bool none() const { return !any_; }
  [[nodiscard]] bool has(Word word) const { return bits_[index(word)]; }
  /// Where the phrase begins; only when has().
  [[nodiscard]] std::size_t at(Word word) const { return at_[index(word)]; }
  void note(Word word, std::size_t position) {
    if (bits_[index(word)]) return;
    any_ = true;
    bits_[index(word)] = true;
    at_[index(word)] = static_cast<std::uint32_t>(position);
  }

 private:
  static std::size_t index(Word word) { return static_cast<std::size_t>(word); }
  bool any_ = false;
  std::bitset<kWords> bits_;
  std::array<std::uint32_t, kWords> at_;  // only where the bit is set
};

/// All phrases of `text`. Linear; never allocates.
[[nodiscard]] Hits scan(std::string_view text);

}  // namespace tricorn::control::doctor
