// What only Tricorn's lines say: the class of a time-out, and troubles that Gunicorn has no words
// for.
#pragma once

#include <string_view>

namespace tricorn::control::doctor {

/// Begins the ids of what doctor-format.md has no id for: "tricorn:overload.queue".
inline constexpr std::string_view kOwnId = "tricorn:";

/// What a class of docs/diagnosis.md means here.
struct Meaning {
  std::string_view cause;
  std::string_view id;  ///< of the finding; empty: the line's request and place say all
  bool coarse = false;  ///< a traceback behind it may know more: which client, which service
};

/// @return nullptr when it is no class of ours
[[nodiscard]] const Meaning* meaning_of(std::string_view cause);

/// "CLASS: GET /path what it did at PLACE; not memory; ref 0a1b2c" taken apart.
struct OwnWords {
  const Meaning* meaning = nullptr;  ///< nullptr: not such words
  std::string_view path;             ///< without its query; empty when it is about no request
  std::string_view detail;           ///< up to the place
};
[[nodiscard]] OwnWords read_own_words(std::string_view text);

/// The same of "Spawner (pid:44) loads the application slowly, …: CLASS: …".
[[nodiscard]] OwnWords slow_preload_in(std::string_view message);

/// A trouble of a request, a worker or the server that has an id of our own.
struct OwnTrouble {
  std::string_view name;  ///< behind kOwnId
  std::string_view title;
  std::string_view advice;
};

/// @param name  behind kOwnId; @return nullptr when there is none
[[nodiscard]] const OwnTrouble* own_trouble(std::string_view name);
/// The name of the trouble a message tells; empty when it is none. @param path  of the request it
/// is about, if any
[[nodiscard]] std::string_view own_trouble_in(std::string_view message, std::string_view& path);
/// The same of what follows "Worker (pid:N) ". @param path  of the request it is about, if any
[[nodiscard]] std::string_view own_trouble_of_worker(std::string_view words,
                                                     std::string_view& path);

}  // namespace tricorn::control::doctor
