#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "diagnose/verdict.h"

namespace tricorn::diagnose {
namespace {

struct Row {
  Cause cause;
  std::string_view name;
  int status;
  std::string_view means;
  std::string_view todo;
  std::string_view line;
};

constexpr auto kRows = std::to_array<Row>({
#define CAUSE(id, name, status, means, todo, line) {Cause::id, name, status, means, todo, line},
#include "diagnose/causes.def"
#undef CAUSE
});

const Row& row_of(Cause cause) { return kRows[static_cast<std::size_t>(cause)]; }

constexpr std::string_view kIntroduction =
    R"(# What the log says of a time-out or a death, and what to do

Made from `src/diagnose/causes.def` by `make docs`. The lines are from `make hangs`, which makes
each of these troubles happen; pids, ports and references vary.

A line has, in this order: Gunicorn's words, byte for byte; the class; the request; what it did for
how long; the line of your code, and the innermost function when that is another one; what it was
*not*; the next command to run, when there is one (`see: ...`); the reference, which the client got
too. `docs/report.md` describes the JSON report, which has the evidence.

Evidence comes from outside the worker (`/proc`, control groups, its memory), before anything is
killed, and needs no privilege beyond the worker's own user. What is shut (`ptrace_scope` 2 and 3, a
seccomp filter, gVisor) is called "not readable" and never guessed.

)";

}  // namespace

std::string_view name_of(Cause cause) { return row_of(cause).name; }

int status_of(Cause cause) { return row_of(cause).status; }

Cause cause_of(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.cause;
  }
  return Cause::Unknown;
}

std::string causes_markdown() {
  std::string text(kIntroduction);
  text += "| class | status by cause |\n| --- | --- |\n";
  for (const Row& row : kRows) {
    std::string anchor;
    for (const char letter : row.name) {
      if (letter != '.') anchor += letter;
    }
    text += fmt::format("| [`{}`](#{}) | {} |\n", row.name, anchor, row.status);
  }
  for (const Row& row : kRows) {
    text += fmt::format("\n## {}\n\n{}\n\n", row.name, row.means);
    if (!row.line.empty()) text += fmt::format("```\n{}\n```\n\n", row.line);
    text += fmt::format("**What to do.** {}\n", row.todo);
  }
  return text;
}

}  // namespace tricorn::diagnose
