#include "arbiter/incident_ring.h"

#include <algorithm>
#include <utility>

namespace tricorn::arbiter {
namespace {

std::size_t bytes_of(const IncidentRing::Kept& kept) {
  return kept.ref.size() + kept.summary.size() + kept.report.size();
}

}  // namespace

void IncidentRing::add(std::string_view cause, bool counts, Kept incident) {
  if (counts) ++counts_[std::string(cause)];
  bytes_ += bytes_of(incident);
  kept_.push_back(std::move(incident));
  while (kept_.size() > kIncidentsKept || (bytes_ > kIncidentBytesKept && kept_.size() > 1)) {
    bytes_ -= bytes_of(kept_.front());
    kept_.pop_front();
  }
}

const IncidentRing::Kept* IncidentRing::find(std::string_view ref) const {
  const auto found = std::find_if(kept_.rbegin(), kept_.rend(),
                                  [ref](const Kept& kept) { return kept.ref == ref; });
  return found == kept_.rend() ? nullptr : &*found;
}

}  // namespace tricorn::arbiter
