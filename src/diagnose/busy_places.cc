#include "diagnose/busy_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "diagnose/report.h"

namespace tricorn::diagnose {

void BusyPlaces::add(const Stack& stack) {
  if (stack.empty()) return;
  const PythonFrame* frame = place_in(stack);
  ++counts_[frame == nullptr
                ? "the server itself"
                : fmt::format("{} in {}", place_text(*frame, app_directory_), frame->function)];
}

std::string BusyPlaces::text() const {
  constexpr std::size_t kShown = 3;
  std::vector<std::pair<unsigned, std::string>> ordered;
  for (const auto& [place, count] : counts_) ordered.emplace_back(count, place);
  std::sort(ordered.rbegin(), ordered.rend());
  std::string text;
  for (std::size_t i = 0; i < ordered.size() && i < kShown; ++i)
    text += fmt::format("{}{} x {}", i == 0 ? "" : ", ", ordered[i].first,
                        printable(ordered[i].second));
  return ordered.size() > kShown ? text + ", and others" : text;
}

}  // namespace tricorn::diagnose
