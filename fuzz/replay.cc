// Tries a fuzz target on recorded inputs: replay FOLDER..., each with one file or more.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

int main(int argument_count, char** arguments) {
  namespace fs = std::filesystem;
  for (int i = 1; i < argument_count; ++i) {
    int tried = 0;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(arguments[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string input(std::istreambuf_iterator<char>(file), {});
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
      ++tried;
    }
    std::printf("%s: %d inputs tried\n", arguments[i], tried);
    if (tried == 0) return 1;
  }
  return argument_count > 1 ? 0 : 1;
}
