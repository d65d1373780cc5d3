// Every tests/protocol/*.http, read whole, one byte at a time, and cut in two.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "http/testing/replay.h"

namespace tricorn::http {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> recordings() {
  std::vector<fs::path> found;
  const fs::path folder = fs::path(__FILE__).parent_path() / "../../../tests/protocol";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".http") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// A recording that needs a flag says so in its name.
Limits limits_for(const fs::path& path) {
  const std::string name = path.stem().string();
  Limits limits;
  limits.permit_obsolete_folding = name.find("permit-folding") != std::string::npos;
  limits.strip_header_spaces = name.find("strip-spaces") != std::string::npos;
  limits.casefold_http_method = name.find("casefold") != std::string::npos;
  limits.permit_unconventional_http_method = name.find("permit-method") != std::string::npos;
  limits.permit_unconventional_http_version = name.find("permit-version") != std::string::npos;
  return limits;
}

std::string replay(const Limits& limits, const std::vector<std::string_view>& parts) {
  testing::Replay connection(limits);
  for (const std::string_view part : parts) connection.receive(part);
  return connection.transcript();
}

// Every byte of a short recording; of a long one (a limit is tried) the ends of lines and a sample.
std::vector<std::size_t> cuts(std::string_view bytes) {
  constexpr std::size_t kShort = 512;
  constexpr std::size_t kSampled = 509;  // prime: no rhythm with the lines
  std::vector<std::size_t> places;
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    const bool at_line_end =
        bytes.substr(cut - 1, 2).find_first_of("\r\n") != std::string_view::npos;
    if (bytes.size() <= kShort || (at_line_end && cut > bytes.size() - 16) || cut % kSampled == 0) {
      places.push_back(cut);
    }
  }
  return places;
}

class Recording : public ::testing::TestWithParam<fs::path> {};

TEST_P(Recording, IsUnderstoodAlikeHoweverItIsCut) {
  const Limits limits = limits_for(GetParam());
  const std::string bytes = contents(GetParam());
  const std::string expected = contents(fs::path(GetParam()).replace_extension(".expect"));
  ASSERT_FALSE(expected.empty());
  const std::string_view all = bytes;
  EXPECT_EQ(replay(limits, {all}), expected) << "whole";
  std::vector<std::string_view> single;
  for (std::size_t i = 0; i < all.size(); ++i) single.push_back(all.substr(i, 1));
  EXPECT_EQ(replay(limits, single), expected) << "one byte at a time";
  for (const std::size_t cut : cuts(all)) {
    ASSERT_EQ(replay(limits, {all.substr(0, cut), all.substr(cut)}), expected) << "cut at " << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(Protocol, Recording, ::testing::ValuesIn(recordings()),
                         [](const auto& row) {
                           std::string name = row.param.stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tricorn::http
