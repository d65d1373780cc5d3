// Reference ids: what a user quotes and an operator greps for.
#pragma once

#include <string>
#include <unordered_set>

namespace tricorn::arbiter {

/// Gives ids of six lower-case hex digits, each once in the arbiter's life.
class References {
 public:
  [[nodiscard]] std::string next();

 private:
  std::unordered_set<std::string> given_;
};

}  // namespace tricorn::arbiter
