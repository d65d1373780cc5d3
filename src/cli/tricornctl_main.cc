// tricornctl: asks a running server, explains incidents; `alias` is Python's, which knows where
// commands and packages lie.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "control/run.h"

namespace {

int become_alias(int argc, char** argv) {
  const char* python = std::getenv("TRICORN_PYTHON");
  std::string words[] = {python == nullptr ? "python3" : python, "-m", "tricorn.alias"};
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.insert(pointers.end(), argv + 2, argv + argc);
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  std::perror(pointers[0]);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "alias") return become_alias(argc, argv);
  return tricorn::control::run(std::vector<std::string>(argv + 1, argv + argc));
}
