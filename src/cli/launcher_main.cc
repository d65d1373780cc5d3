// What `tricorn` and `tricornctl` in an environment's bin/ are: they find the Python and the
// package they were installed with and become the program in it. A script in Python would do, but
// takes as long as a third of the whole start-up.
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#ifndef TRICORN_PYTHON_NAME
#error "the name of the interpreter this is installed for, e.g. python3.11"
#endif

namespace {

bool runs(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

// Beside this program, else where PATH has it; empty: nowhere.
std::string find_python(const std::string& bin) {
  const std::string beside = bin + "/" TRICORN_PYTHON_NAME;
  if (runs(beside)) return beside;
  const char* path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string candidate = rest.substr(0, colon) + "/" TRICORN_PYTHON_NAME;
    if (candidate[0] == '/' && runs(candidate)) return candidate;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return {};
}

// In the package of the same environment; empty: it lies elsewhere.
// Source: sysconfig(3py), the schemes posix_prefix, posix_local, posix_user and venv.
std::string find_program(const std::string& bin, const std::string& name) {
  for (const char* lib : {"/../lib/", "/../lib64/"}) {
    for (const char* packages : {"/site-packages", "/dist-packages"}) {
      std::string program = bin + lib + TRICORN_PYTHON_NAME + packages + "/tricorn/bin/" + name;
      if (runs(program)) return program;
    }
  }
  return {};
}

// Python knows more places than find_program().
int become_by_python(const std::string& python, bool control, int argc, char** argv) {
  std::vector<std::string> words{python, "-c"};
  words.emplace_back(control ? "from tricorn.__main__ import control; control()"
                             : "from tricorn.__main__ import main; main()");
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(python.c_str(), pointers.data());
  std::perror(python.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  const std::string path(self, size > 0 ? static_cast<std::size_t>(size) : 0);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    std::fputs("tricorn: /proc is not mounted; start " TRICORN_PYTHON_NAME " -m tricorn\n", stderr);
    return 1;
  }
  const std::string bin = path.substr(0, slash);
  const bool control = path.substr(slash + 1) == "tricornctl";
  const std::string python = find_python(bin);
  if (python.empty()) {
    std::fprintf(stderr, "tricorn: " TRICORN_PYTHON_NAME " is neither in %s nor in PATH\n",
                 bin.c_str());
    return 1;
  }
  const std::string program = find_program(bin, control ? "tricornctl" : "tricorn-arbiter");
  if (program.empty()) return become_by_python(python, control, argc, argv);
  ::setenv("TRICORN_PYTHON", python.c_str(), 1);
  // As it was called, for an upgrade to find what a link leads to by then. Source: getauxval(3).
  ::setenv("TRICORN_COMMAND", reinterpret_cast<const char*>(::getauxval(AT_EXECFN)), 1);
  argv[0] = const_cast<char*>(control ? "tricornctl" : "tricorn");
  ::execv(program.c_str(), argv);
  std::perror(program.c_str());
  return 1;
}
