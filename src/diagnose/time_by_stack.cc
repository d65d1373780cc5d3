#include "diagnose/time_by_stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "diagnose/report.h"

namespace tricorn::diagnose {
namespace {

/// Fit for a collapsed line: its separators stay what they are.
std::string row(std::string text) {
  for (char& c : text) {
    if (c == ';' || static_cast<unsigned char>(c) < 0x20) c = '_';
  }
  return text;
}

}  // namespace

std::string collapsed(const Stack& stack) {
  std::string line;
  for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame) {
    line += fmt::format("{}{} ({}:{})", line.empty() ? "" : ";", row(frame->function),
                        row(frame->file), frame->line);
  }
  return line.empty() ? std::string(kNoPython) : line;
}

void TimeByStack::add(const Stack& stack, std::int64_t ms, std::string_view under) {
  total_ms_ += ms;
  std::string line = collapsed(stack);
  if (!under.empty()) line = row(std::string(under)) + ";" + line;
  const bool known = stacks_.contains(line);
  if (!known && stacks_.size() >= kStacksKept) line = kOtherStacks;
  stacks_[line] += ms;
  const PythonFrame* frame = place_in(stack);
  std::string place = frame != nullptr ? place_text(*frame, app_directory_)
                      : stack.empty()  ? std::string(kNoPython)
                                       : std::string(kServerItself);
  if (!places_.contains(place) && places_.size() >= kStacksKept) place = kOtherStacks;
  Place& entry = places_[place];
  if (frame != nullptr) entry.function = frame->function;
  entry.ms += ms;
}

std::vector<PlaceShare> TimeByStack::places(std::size_t most) const {
  std::vector<PlaceShare> shares;
  for (const auto& [place, entry] : places_) {
    const auto percent = total_ms_ == 0 ? 0 : (entry.ms * 200 / total_ms_ + 1) / 2;
    shares.push_back({place, entry.function, entry.ms, static_cast<int>(percent)});
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const PlaceShare& a, const PlaceShare& b) { return a.ms > b.ms; });
  shares.resize(std::min(shares.size(), most));
  return shares;
}

std::string shares_text(const std::vector<PlaceShare>& places) {
  std::string text;
  for (const PlaceShare& share : places) {
    text += fmt::format("{}{}% at {}{}", text.empty() ? "" : ", ", share.percent,
                        printable(share.place),
                        share.function.empty() ? "" : " in " + printable(share.function));
  }
  return text.empty() ? "no Python code seen" : text;
}

}  // namespace tricorn::diagnose
