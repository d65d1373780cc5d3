#include "diagnose/told.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "diagnose/frames.h"
#include "diagnose/procfs.h"
#include "diagnose/rules.h"

namespace tricorn::diagnose {
namespace {

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

bool is_reference(std::string_view text) {
  return text.size() == 6 && std::all_of(text.begin(), text.end(), [](unsigned char letter) {
           return std::isxdigit(letter) != 0;
         });
}

/// "ADDRESS PORT", "ADDRESS" being empty for a unix socket.
std::string client_from(std::string_view line) {
  const std::size_t space = line.rfind(' ');
  if (space == std::string_view::npos || space == 0) return "";
  const std::string_view address = line.substr(0, space);
  const char* form = address.find(':') == std::string_view::npos ? "{}:{}" : "[{}]:{}";
  return fmt::format(fmt::runtime(form), address, line.substr(space + 1));
}

std::string client_text(const Evidence& evidence) {
  return evidence.client.empty() ? "its client" : "its client " + evidence.client;
}

/// The function that the innermost frames are in again and again.
std::string repeated_text(const Stack& stack) {
  const PythonFrame* place = place_in(stack);
  if (place == nullptr) return "";
  const auto times = std::count_if(stack.begin(), stack.end(), [place](const PythonFrame& frame) {
    return frame.function == place->function && frame.file == place->file;
  });
  return times < 2 ? "" : fmt::format(": {} calls itself", place->function);
}

std::optional<Verdict> verdict_for(Cause cause, const Evidence& evidence, std::string_view error,
                                   const Stack& stack) {
  const double seconds = static_cast<double>(evidence.running_ns) / 1e9;
  const auto certain = [cause](std::string because) {
    return verdict_of(cause, Confidence::Certain, std::move(because));
  };
  switch (cause) {
    case Cause::ClientSlowHeaders:
      return certain(fmt::format("was cut: {} had sent {} bytes of its head after {:.1f} s",
                                 client_text(evidence), evidence.bytes_in, seconds));
    case Cause::ClientSlowUpload:
      return certain(fmt::format("was cut: {} sent nothing more of its body for {:.1f} s",
                                 client_text(evidence), seconds));
    case Cause::ClientSlowRead:
      return certain(fmt::format("was cut: {} took nothing more of the response for {:.1f} s",
                                 client_text(evidence), seconds));
    case Cause::FdExhaustion:
      return certain(fmt::format("cannot take new connections: {}", error));
    case Cause::AppRecursion:
      return certain(fmt::format("was ended by {}{}", error, repeated_text(stack)));
    case Cause::MemoryLimit:
      return certain(fmt::format("was ended by {}: an allocation was refused", error));
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Told> parse_told(std::string_view text, const std::string& app_directory) {
  Told told;
  const Cause cause = cause_of(take_line(text));
  told.ref = take_line(text);
  Evidence& evidence = told.evidence;
  evidence.app_directory = app_directory;
  evidence.request = take_line(text);
  evidence.client = client_from(take_line(text));
  const auto numbers = fields_of(take_line(text), 4);
  if (!is_reference(told.ref) || numbers.size() < 4) return std::nullopt;
  evidence.bytes_in = number_from(numbers[0]);
  evidence.bytes_out = number_from(numbers[1]);
  evidence.running_ns = static_cast<std::int64_t>(number_from(numbers[2]));
  const std::uint64_t untold = number_from(numbers[3]);
  const std::string_view error = take_line(text);
  const Stack stack = without_server(stack_from(text));
  auto verdict = verdict_for(cause, evidence, error, stack);
  if (!verdict) return std::nullopt;
  if (untold > 0) verdict->because += fmt::format(" ({} like it before were only counted)", untold);
  if (const PythonFrame* place = place_in(stack)) {
    verdict->place = place_text(*place, app_directory);
    verdict->function = place->function;
    ProcessLook look;  // where the report takes its stack from
    look.threads.resize(1);
    look.threads[0].stack = stack;
    evidence.looks.push_back(std::move(look));
  }
  told.verdict = std::move(*verdict);
  return told;
}

}  // namespace tricorn::diagnose
