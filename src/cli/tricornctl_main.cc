// tricornctl: asks a running server, explains incidents.
#include <string>
#include <vector>

#include "control/run.h"

int main(int argc, char** argv) {
  return tricorn::control::run(std::vector<std::string>(argv + 1, argv + argc));
}
