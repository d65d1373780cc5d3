#include "control/doctor/memory.h"

#include <algorithm>
#include <cmath>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// A pid may be given to another process after a while: its kill is reported soon or is another's.
constexpr double kSamePidSeconds = 60;

// The program in "Killed process 44 (gunicorn)" or "44, UID 0, (gunicorn)".
std::string_view program_of(std::string_view text) {
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos || open > 48) return {};
  return text.substr(open + 1, text.find(')', open) - open - 1);
}

bool is_other_program(std::string_view name) {
  for (const std::string_view other :
       {"mysqld",    "mariadbd", "postgres",   "redis-server", "java",   "node",          "nginx",
        "httpd",     "apache2",  "mongod",     "chrome",       "celery", "php-fpm",       "ruby",
        "memcached", "dockerd",  "containerd", "systemd",      "sshd",   "elasticsearch", "haproxy",
        "npm",       "gcc",      "cc1plus",    "rsyslogd"})
    if (name == other) return true;
  return false;
}

}  // namespace

void Victims::add(std::int64_t pid, const Mark& mark, std::string_view name, bool provisional) {
  if (!victims_.empty() && victims_.back().provisional && !provisional) {
    // The kernel chose a process and killed its child: the child is the victim.
    Victim& chosen = victims_.back();
    const auto apart = seconds_between(chosen.mark.when, mark.when);
    if (chosen.pid != pid && mark.line - chosen.mark.line <= 3 && (!apart || *apart <= 1)) {
      pids_.erase(chosen.pid);
      victims_.pop_back();
    } else {
      chosen.provisional = false;
    }
  }
  open_from_ = std::min(open_from_, victims_.size());
  if (pids_.size() >= kVictimsMax) {
    if (pids_.count(pid) == 0) ++beyond_;
    return;
  }
  if (!pids_.insert(pid).second) return;
  Victim victim;
  victim.pid = pid;
  victim.mark = mark;
  victim.other_program = is_other_program(name);
  victim.provisional = provisional;
  victim.before = last_record_;
  victims_.push_back(victim);
}

bool Victims::read(std::string_view text, const Hits& hits, const Mark& mark, bool kernel) {
  const auto pid_after = [&](Word word, std::size_t length) -> std::optional<std::int64_t> {
    if (!hits.has(word)) return std::nullopt;
    std::string_view rest = text.substr(hits.at(word) + length);
    return take_number(rest, 9);
  };
  // Anybody may write "Killed process 7"; the kernel writes more.
  const bool by_kernel = kernel || contains(text, "ut of memory") || contains(text, "total-vm:") ||
                         contains(text, "anon-rss:");
  if (const auto pid = pid_after(Word::Killed, 15); pid && by_kernel) {
    add(*pid, mark, program_of(text.substr(hits.at(Word::Killed))), false);
    return true;
  }
  if (const auto pid = pid_after(Word::Kill, 13); pid && contains(text, "sacrifice child")) {
    add(*pid, mark, program_of(text.substr(hits.at(Word::Kill))), true);
    return true;
  }
  if (hits.has(Word::OomKill)) {
    const std::size_t at = text.find(",pid=", hits.at(Word::OomKill));
    if (at != std::string_view::npos) {
      std::string_view rest = text.substr(at + 5);
      std::string_view task;
      if (const std::size_t name = text.find(",task="); name != std::string_view::npos)
        task = text.substr(name + 6, text.find(',', name + 6) - name - 6);
      if (const auto pid = take_number(rest, 9)) add(*pid, mark, task, false);
    }
    return true;
  }
  return hits.has(Word::OomInvoked) || hits.has(Word::OutOfMemory) || hits.has(Word::OomReaper);
}

void Victims::note_record(const When& when) {
  if (!when.known()) return;
  for (; open_from_ < victims_.size(); ++open_from_) {
    victims_[open_from_].after = when;
    victims_[open_from_].neighbours_known = true;
  }
  last_record_ = when;
}

void Victims::note_told(std::int64_t pid, const Mark& mark) {
  add(pid, mark, "", false);
  if (!victims_.empty() && victims_.back().pid == pid) victims_.back().used = true;
}

void Victims::note_worker(std::int64_t pid) {
  if (workers_.size() < kVictimsMax) workers_.insert(pid);
}

Victim* Victims::take_by_pid(std::int64_t pid, const Mark& killed) {
  for (Victim& victim : victims_) {
    if (victim.pid != pid) continue;
    const auto apart = seconds_between(victim.mark.when, killed.when);
    if (apart && std::abs(*apart) > kSamePidSeconds) continue;
    victim.used = true;
    return &victim;
  }
  return nullptr;
}

bool Victims::at_one_time(const Victim& victim, const Mark& killed) const {
  const auto near = [&](const When& when) {
    const auto apart = seconds_between(when, killed.when);
    return apart && std::abs(*apart) <= kSameKillSeconds;
  };
  if (const auto apart = seconds_between(victim.mark.when, killed.when))
    return std::abs(*apart) <= kSameKillSeconds;
  // Two clocks that cannot be compared: the place in the file decides, unless the minutes differ.
  if (!may_be_one_moment(victim.mark.when, killed.when, kSameKillSeconds)) return false;
  if (near(victim.before) || (victim.neighbours_known && near(victim.after))) return true;
  constexpr std::uint64_t kLinesApart = 10;
  const std::uint64_t lines =
      std::max(victim.mark.line, killed.line) - std::min(victim.mark.line, killed.line);
  return !killed.when.known() && lines <= kLinesApart;
}

Victim* Victims::take_by_time(const Mark& killed) {
  for (Victim& victim : victims_) {
    if (victim.used || victim.other_program || workers_.count(victim.pid) > 0) continue;
    if (!at_one_time(victim, killed)) continue;
    victim.used = true;
    return &victim;
  }
  return nullptr;
}

bool tells_memory_error(std::string_view text, const Hits& hits) {
  if (!hits.has(Word::MemoryError)) return false;
  const std::size_t at = hits.at(Word::MemoryError);
  const std::string_view before = text.substr(0, at);
  const std::string_view after = text.substr(at + 11);
  if (!after.empty() && (is_word(after[0]) || after[0] == '.')) return false;
  if (!before.empty() && is_word(before.back()) && !before.ends_with("Array")) return false;
  return !before.ends_with("except ") && !before.ends_with("raise ") &&
         !before.ends_with("import ");
}

}  // namespace tricorn::control::doctor
