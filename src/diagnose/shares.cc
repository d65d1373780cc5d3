#include "diagnose/shares.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "diagnose/rules.h"
#include "diagnose/syscalls.h"

namespace tricorn::diagnose {
namespace {

Call call_of_last(const Stretch& stretch) {
  const ThreadLook& thread = *serving(*stretch.looks.back());
  return call_of(thread.syscall, thread.args[1]);
}

std::string_view file_of(const RequestPhase& phase) {
  return std::string_view(phase.place).substr(0, phase.place.rfind(':'));
}

/// A function with what is defined within it: "view" of "view.<locals>.<genexpr>".
std::string_view outer_function(const RequestPhase& phase) {
  return std::string_view(phase.function).substr(0, phase.function.find(".<locals>"));
}

/// A loop computes on line after line of its function; of a wait the line tells which one it is.
bool same_place(const RequestPhase& left, const RequestPhase& right) {
  if (left.place == right.place) return true;
  return left.computes && right.computes && outer_function(left) == outer_function(right) &&
         file_of(left) == file_of(right);
}

/// Whether a stretch is more of a share. Of what was over before its peer was looked up, only call
/// and place are known.
bool belongs_to(const Share& share, const RequestPhase& phase, const Stretch& stretch) {
  if (share.phase.computes != phase.computes || !same_place(share.phase, phase)) return false;
  if (phase.computes || share.phase.cause == phase.cause) return true;
  if (share.phase.cause == Cause::Unknown)
    return call_of_last(*share.stretches.back()) == call_of_last(stretch);
  return phase.cause == Cause::Unknown &&
         (calls_out(share.phase) ? is_of_data(stretch)
                                 : call_of_last(*share.stretches.back()) == call_of_last(stretch));
}

void add_to(Share& share, RequestPhase phase, const Stretch& stretch) {
  const std::string whom = phase.peer;
  const std::int64_t sum = share.phase.ns + phase.ns;
  const bool learnt = share.phase.cause == Cause::Unknown && phase.cause != Cause::Unknown;
  const bool lost = share.phase.cause != Cause::Unknown && phase.cause == Cause::Unknown;
  const auto longer = [&](const Stretch* other) { return other->ns < stretch.ns; };
  const bool longest = std::all_of(share.stretches.begin(), share.stretches.end(), longer);
  if (learnt || (longest && !lost)) share.phase = std::move(phase);
  if (whom.size() > share.phase.peer.size()) share.phase.peer = whom;  // with its address
  share.phase.ns = sum;
  share.stretches.push_back(&stretch);
}

/// A wait for data of which no more is known, where the request calls out, is one of its calls.
void join_the_unknown(std::vector<Share>& shares) {
  for (auto one = shares.begin(); one != shares.end();) {
    const bool unknown = waits_unknown(one->phase) && is_of_data(*one->stretches.back());
    const auto call = std::find_if(shares.begin(), shares.end(), [&](const Share& other) {
      return calls_out(other.phase) && same_place(other.phase, one->phase);
    });
    if (!unknown || call == shares.end()) {
      ++one;
      continue;
    }
    call->phase.ns += one->phase.ns;
    call->stretches.insert(call->stretches.end(), one->stretches.begin(), one->stretches.end());
    std::sort(call->stretches.begin(), call->stretches.end());  // of one vector: by time
    one = shares.erase(one);
  }
}

}  // namespace

bool is_of_data(const Stretch& stretch) {
  const Call call = call_of_last(stretch);
  if (serving(*stretch.looks.back())->state == 'D') return false;
  return call == Call::None || is_of_data(call);
}

bool sleeps(const RequestPhase& phase) { return phase.cause == Cause::WaitSleep; }

bool waits_unknown(const RequestPhase& phase) {
  return phase.cause == Cause::Unknown && !phase.computes;
}

bool calls_out(const RequestPhase& phase) { return calls_out(phase.cause); }

std::vector<Share> shares_of(const Evidence& evidence, const std::vector<Stretch>& stretches) {
  std::vector<Share> shares;
  for (const Stretch& stretch : stretches) {
    RequestPhase phase = phase_of(evidence, stretch);
    const auto same = std::find_if(shares.begin(), shares.end(), [&](const Share& share) {
      return belongs_to(share, phase, stretch);
    });
    if (same == shares.end()) {
      shares.push_back({std::move(phase), {&stretch}});
    } else {
      add_to(*same, std::move(phase), stretch);
    }
  }
  join_the_unknown(shares);
  std::stable_sort(shares.begin(), shares.end(), [](const Share& left, const Share& right) {
    return left.phase.ns > right.phase.ns;
  });
  return shares;
}

}  // namespace tricorn::diagnose
