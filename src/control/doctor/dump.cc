#include "control/doctor/dump.h"

#include <algorithm>
#include <utility>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// Other threads' stacks may stand before the one that counts.
constexpr int kDumpLinesMax = 4'096;

}  // namespace

bool DumpReader::read(std::string_view text, const Hits& hits, std::uint64_t number) {
  if (hits.has(Word::FatalAborted)) {
    *this = DumpReader{};
    aborted_ = true;
    return true;
  }
  if (!aborted_) return false;
  if (hits.has(Word::MostRecentFirst)) {
    current_ = contains(text, "Current thread 0x");
    now_.first = number;
    return true;
  }
  if (hits.has(Word::FrameFile) && read_frame(text, number)) return true;
  if (!now_.frames.empty() || ++lines_ > kDumpLinesMax) {
    std::reverse(now_.frames.begin(), now_.frames.end());
    if (!now_.frames.empty()) finished_ = std::move(now_);
    now_ = Traceback{};
    aborted_ = current_ = false;
  }
  return false;
}

bool DumpReader::read_frame(std::string_view text, std::uint64_t number) {
  auto frame = take_frame(trimmed(text), " in ", number);  // no second comma
  if (!frame || frame->function.empty()) return false;
  now_.last = number;
  if (current_ && now_.frames.size() < kFramesMax) now_.frames.push_back(*std::move(frame));
  return true;
}

std::optional<Traceback> DumpReader::take_finished() {
  return std::exchange(finished_, std::nullopt);
}

}  // namespace tricorn::control::doctor
