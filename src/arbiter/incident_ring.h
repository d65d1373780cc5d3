// The last incidents, for tricornctl: they can be explained without a report file.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

namespace tricorn::arbiter {

/// Incidents kept. Source: our bound; a report line with all threads of a worker has 5 to 50 KB.
inline constexpr std::size_t kIncidentsKept = 100;
/// Bytes of their reports kept in all; the oldest go first.
inline constexpr std::size_t kIncidentBytesKept = std::size_t{4} << 20;

class IncidentRing {
 public:
  struct Kept {
    std::string ref;
    std::string summary;  ///< a JSON object: what a list shows
    std::string report;   ///< the report's line, without its end
    bool slow = false;    ///< a slow request, not an incident: counts() leaves it out
  };

  /// What is told of a slow request takes the place of what was told of it before.
  void add(std::string_view cause, Kept incident);
  /// The newest incident with this reference, else the slow request; null: none is kept. Valid
  /// until the next add().
  /// @param slow_wanted  the slow request, if there is one
  [[nodiscard]] const Kept* find(std::string_view ref, bool slow_wanted = false) const;
  /// Oldest first.
  [[nodiscard]] const std::deque<Kept>& kept() const { return kept_; }
  /// Since the server started, also those that are not kept any more.
  [[nodiscard]] const std::map<std::string, std::uint64_t, std::less<>>& counts() const {
    return counts_;
  }

 private:
  std::deque<Kept> kept_;
  std::size_t bytes_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> counts_;
};

}  // namespace tricorn::arbiter
