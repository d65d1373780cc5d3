#include "arbiter/incident_ring.h"

#include <algorithm>
#include <utility>

namespace tricorn::arbiter {
namespace {

std::size_t bytes_of(const IncidentRing::Kept& kept) {
  return kept.ref.size() + kept.summary.size() + kept.report.size();
}

}  // namespace

void IncidentRing::add(std::string_view cause, Kept incident) {
  if (!incident.slow) ++counts_[std::string(cause)];
  if (const auto before = std::find_if(
          kept_.begin(), kept_.end(),
          [&](const Kept& kept) { return incident.slow && kept.slow && kept.ref == incident.ref; });
      before != kept_.end()) {
    bytes_ -= bytes_of(*before);
    kept_.erase(before);
  }
  bytes_ += bytes_of(incident);
  kept_.push_back(std::move(incident));
  while (kept_.size() > kIncidentsKept || (bytes_ > kIncidentBytesKept && kept_.size() > 1)) {
    bytes_ -= bytes_of(kept_.front());
    kept_.pop_front();
  }
}

const IncidentRing::Kept* IncidentRing::find(std::string_view ref, bool slow_wanted) const {
  const Kept* other = nullptr;
  for (auto kept = kept_.rbegin(); kept != kept_.rend(); ++kept) {
    if (kept->ref != ref) continue;
    if (kept->slow == slow_wanted) return &*kept;
    if (other == nullptr) other = &*kept;
  }
  return other;
}

}  // namespace tricorn::arbiter
