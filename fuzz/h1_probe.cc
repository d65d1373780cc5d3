// What our parser understands, for comparison with foreign ones
// (tests/protocol/test_differential.py). Input: any number of "<decimal size>\n<bytes>". Output:
// per input one JSON object, see Replay.
#include <cstdio>
#include <iostream>
#include <string>

#include "http/testing/replay.h"

namespace {

// Bytes as the characters U+0000 to U+00FF.
void print_quoted(std::string_view text) {
  std::putchar('"');
  for (const char c : text)
    std::printf("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  std::putchar('"');
}

void print_understanding(std::string_view bytes) {
  tricorn::http::testing::Replay connection{tricorn::http::Limits{}};
  connection.receive(bytes);
  std::printf("{\"ended\": %s, \"transcript\": ", connection.ended() ? "true" : "false");
  print_quoted(connection.transcript());
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
