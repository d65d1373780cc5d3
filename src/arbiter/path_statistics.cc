#include "arbiter/path_statistics.h"

#include <algorithm>

namespace tricorn::arbiter {
namespace {

// A time-out is longer than any answered request can tell.
auto rank(const PathFigures& figures) { return std::pair{figures.timed_out, figures.longest_ns}; }

}  // namespace

void PathStatistics::answered(std::string_view request, std::int64_t ns) {
  if (request.empty()) return;
  PathFigures& figures = figures_of(request);
  ++figures.count;
  figures.longest_ns = std::max(figures.longest_ns, ns);
  figures.total_ns += ns;
}

void PathStatistics::timed_out(std::string_view request) {
  if (request.empty()) return;
  PathFigures& figures = figures_of(request);
  ++figures.count;
  ++figures.timed_out;
}

PathFigures& PathStatistics::figures_of(std::string_view request) {
  if (const auto found = paths_.find(request); found != paths_.end()) return found->second;
  if (paths_.size() >= kPathsKept) {
    paths_.erase(std::min_element(paths_.begin(), paths_.end(), [](const auto& a, const auto& b) {
      return rank(a.second) < rank(b.second);
    }));
  }
  PathFigures& fresh = paths_[std::string(request)];
  fresh.request = request;
  return fresh;
}

std::vector<PathFigures> PathStatistics::slowest(std::size_t most) const {
  std::vector<PathFigures> list;
  for (const auto& [request, figures] : paths_) list.push_back(figures);
  std::stable_sort(list.begin(), list.end(),
                   [](const PathFigures& a, const PathFigures& b) { return rank(a) > rank(b); });
  list.resize(std::min(list.size(), most));
  return list;
}

}  // namespace tricorn::arbiter
