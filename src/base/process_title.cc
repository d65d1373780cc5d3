#include "base/process_title.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace tricorn::base {
namespace {

struct Area {
  char* words = nullptr;
  char* words_end = nullptr;
  char* environment_end = nullptr;
};

// What follows the name in parentheses begins with field 3.
bool find_area(Area& area) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return false;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 48; ++field) fields >> skipped;
  std::array<std::uintptr_t, 4> at{};
  for (std::uintptr_t& address : at) fields >> address;
  area.words = reinterpret_cast<char*>(at[0]);
  area.words_end = reinterpret_cast<char*>(at[1]);
  area.environment_end = at[2] == at[1] ? reinterpret_cast<char*>(at[3]) : area.words_end;
  return !fields.fail() && at[0] != 0 && at[1] > at[0] && area.environment_end >= area.words_end;
}

// The copies live as long as the process.
void move_environment(const Area& area) {
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (*variable >= area.words_end && *variable < area.environment_end)
      *variable = ::strdup(*variable);
  }
}

}  // namespace

std::optional<TitleRoom> TitleRoom::find() {
  Area area;
  if (!find_area(area)) return std::nullopt;
  return TitleRoom(area.words, static_cast<std::size_t>(area.words_end - area.words));
}

// The last byte of the room stays a NUL: Linux reads beyond the words when it is none.
void TitleRoom::show(std::string_view title) const {
  const std::size_t size = std::min(title.size(), bytes_ - 1);
  std::memcpy(words_, title.data(), size);
  std::memset(words_ + size, 0, bytes_ - size);
}

bool set_process_title(std::string_view title) {
  Area area;
  if (!find_area(area)) return false;
  char* end = area.words_end;
  if (title.size() >= static_cast<std::size_t>(end - area.words)) {
    move_environment(area);
    end = area.environment_end;
  }
  // Linux reads beyond the words, up to a NUL, when their own last byte is none.
  const std::size_t room = static_cast<std::size_t>(end - area.words) - 1;
  const std::size_t size = std::min(title.size(), room);
  std::memcpy(area.words, title.data(), size);
  std::memset(area.words + size, 0, static_cast<std::size_t>(end - area.words) - size);
  return size == title.size();
}

}  // namespace tricorn::base
