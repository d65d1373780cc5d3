#include "worker/notices.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "heartbeat/wire.h"

namespace tricorn::worker {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::size_t kErrorBytesMax = 300;

std::string_view first_line(std::string_view text) {
  return text.substr(0, std::min(text.find('\n'), kErrorBytesMax));
}

}  // namespace

std::string new_reference() {
  std::uint32_t bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != sizeof bits) return {};
  return fmt::format("{:06x}", bits & 0xffffff);
}

std::string Notices::tell(const Notice& notice, std::int64_t now_ns) {
  unsigned untold = 0;
  {
    const std::lock_guard lock(mutex_);
    if (now_ns - second_began_ns_ >= kSecond) {
      second_began_ns_ = now_ns;
      told_ = 0;
    }
    if (told_ >= kNoticesPerSecond) {
      ++untold_;
      return {};
    }
    ++told_;
    untold = std::exchange(untold_, 0);
  }
  const std::string reference = new_reference();
  std::string text = fmt::format("{}\n{}\n{}\n{} {}\n{} {} {} {}\n{}\n{}", notice.cause, reference,
                                 first_line(notice.request), heartbeat::text_of(notice.client),
                                 notice.client.port, notice.bytes_in, notice.bytes_out,
                                 notice.ran_ns, untold, first_line(notice.error), notice.stack);
  text.resize(std::min(text.size(), heartbeat::kPayloadMax));
  const bool sent = heartbeat::send_message(control_, heartbeat::Verb::Told, 0, text.data(),
                                            text.size(), -1, MSG_DONTWAIT);
  return sent ? reference : std::string();
}

}  // namespace tricorn::worker
