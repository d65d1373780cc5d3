// Where busy threads are, told in a few words: "4 x app.py:159 in sleep". Pure.
#pragma once

#include <map>
#include <string>

#include "diagnose/frames.h"

namespace tricorn::diagnose {

class BusyPlaces {
 public:
  /// @param app_directory  places below it are shown relative to it
  explicit BusyPlaces(std::string app_directory) : app_directory_(std::move(app_directory)) {}

  /// Counts a thread's stack as read; an empty one is not counted.
  void add(const Stack& stack);
  /// "3 x app.py:159 in sleep, 1 x the server itself", the most frequent first, three at most.
  [[nodiscard]] std::string text() const;

 private:
  std::string app_directory_;
  std::map<std::string, unsigned> counts_;
};

}  // namespace tricorn::diagnose
