// What our parser understands, for comparison with foreign ones (test_differential.py). Input: any
// number of "<decimal size>\n<bytes>". Output: per input one JSON object, with Replay's transcript
// and whether it was the same however the input was cut.
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "http/testing/replay.h"

namespace {

using tricorn::http::Limits;
using tricorn::http::testing::Replay;

std::string transcript(const std::vector<std::string_view>& pieces) {
  Replay connection{Limits{}};
  for (const std::string_view piece : pieces) connection.receive(piece);
  return connection.transcript();
}

// One byte at a time, and in two wherever it can be cut: the same as in one piece.
bool alike_however_cut(std::string_view bytes, const std::string& whole) {
  std::vector<std::string_view> single;
  for (std::size_t at = 0; at < bytes.size(); ++at) single.push_back(bytes.substr(at, 1));
  if (transcript(single) != whole) return false;
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    if (transcript({bytes.substr(0, cut), bytes.substr(cut)}) != whole) return false;
  }
  return true;
}

// Bytes as the characters U+0000 to U+00FF.
void print_quoted(std::string_view text) {
  std::putchar('"');
  for (const char c : text)
    std::printf("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  std::putchar('"');
}

void print_understanding(std::string_view bytes) {
  const std::string whole = transcript({bytes});
  std::printf("{\"alike\": %s, \"transcript\": ",
              alike_however_cut(bytes, whole) ? "true" : "false");
  print_quoted(whole);
  std::printf("}\n");
}

}  // namespace

int main() {
  std::size_t size = 0;
  while (std::cin >> size) {
    std::cin.get();
    std::string bytes(size, '\0');
    if (!std::cin.read(bytes.data(), static_cast<std::streamsize>(size))) return 1;
    print_understanding(bytes);
  }
  return 0;
}
