// tricornctl: explains incidents from the report file.
#include <cstdio>
#include <string>
#include <vector>

#include "control/incident_file.h"

namespace {

constexpr const char* kUsage =
    "usage: tricornctl explain REF --report FILE     what is known about one incident\n"
    "       tricornctl incidents --report FILE       a line for each incident\n"
    "FILE is what the server was given as --report.\n";

int fail(const std::string& text) {
  std::fprintf(stderr, "tricornctl: %s\n", text.c_str());
  return 1;
}

int print_all(const std::string& file, const std::string& ref) {
  const auto lines = tricorn::control::find_incidents(file, ref);
  if (!lines) return fail(lines.error().text);
  if (lines->empty() && !ref.empty())
    return fail("no incident with reference '" + ref + "' in " + file);
  for (const std::string& line : *lines) {
    const auto words =
        ref.empty() ? tricorn::control::summarise(line) : tricorn::control::explain(line);
    if (words) std::fputs(words->c_str(), stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && (words[0] == "-h" || words[0] == "--help"))
    return std::fputs(kUsage, stdout) < 0;
  if (words.size() == 4 && words[0] == "explain" && words[2] == "--report")
    return print_all(words[3], words[1]);
  if (words.size() == 3 && words[0] == "incidents" && words[1] == "--report")
    return print_all(words[2], "");
  std::fputs(kUsage, stderr);
  return 2;
}
