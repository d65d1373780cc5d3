#include "base/outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/append.h"

namespace tricorn::base {
namespace {

Result<UniqueFd> open_append(const std::string& path) {
  UniqueFd file = open_to_append(path, 0666);
  if (!file.valid()) return fail_errno("'" + path + "' isn't writable", errno);
  return file;
}

// Whole lines, at most PIPE_BUF bytes of them; a longer line goes alone.
std::size_t portion(std::string_view lines) {
  if (lines.size() <= PIPE_BUF) return lines.size();
  const std::size_t last = lines.substr(0, PIPE_BUF).rfind('\n');
  if (last != std::string_view::npos) return last + 1;
  return std::min(lines.find('\n', PIPE_BUF), lines.size() - 1) + 1;
}

std::uint64_t lines_in(std::string_view bytes) {
  return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

Result<void> Outlet::open_file(const std::string& path) {
  auto file = open_append(path);
  if (!file) return Unexpected{file.error()};
  const std::lock_guard lock(mutex_);
  owned_ = std::move(*file);
  fd_ = owned_.get();
  way_ = Way::NonBlocking;
  path_ = path;
  return {};
}

void Outlet::share(int fd) {
  const std::lock_guard lock(mutex_);
  path_.clear();
  owned_.reset();
  fd_ = fd;
  struct stat status {};
  if (::fstat(fd, &status) != 0 || S_ISREG(status.st_mode)) {
    way_ = Way::Direct;  // opened again it would have an offset of its own, and overwrite others'
  } else if (S_ISSOCK(status.st_mode)) {
    way_ = Way::Socket;
  } else {
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    owned_.reset(::open(self.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    way_ = owned_.valid() ? Way::NonBlocking : Way::Shared;
    if (owned_.valid()) fd_ = owned_.get();
  }
}

Result<void> Outlet::reopen() {
  if (path_.empty()) return {};
  auto file = open_append(path_);
  if (!file) return Unexpected{file.error()};
  const std::lock_guard lock(mutex_);
  // dup3 keeps the number, so that whoever writes to it directly follows.
  if (::dup3(file->get(), owned_.get(), O_CLOEXEC) < 0)
    return fail_errno("dup3 of '" + path_ + "'", errno);
  return {};
}

ssize_t Outlet::write_once(std::string_view bytes) const {
  if (way_ == Way::Socket)
    return ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (way_ != Way::Shared) return ::write(fd_, bytes.data(), bytes.size());
  // Not ours to make non-blocking, nor to open again. Pipes take RWF_NOWAIT from Linux 6.4 on.
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  const ssize_t written = ::pwritev2(fd_, &part, 1, -1, RWF_NOWAIT);
  if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != ESPIPE)) return written;
  pollfd ready{fd_, POLLOUT, 0};  // means that PIPE_BUF bytes fit. Source: pipe(7)
  if (::poll(&ready, 1, 0) != 1) return errno = EAGAIN, -1;
  return ::write(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
}

// Whatever error there is besides a slow reader (no reader any more, a full disk) costs the lines.
bool Outlet::flush_locked() {
  std::string_view left = pending_;
  while (!left.empty()) {
    const std::size_t size = portion(left);
    const ssize_t written = write_once(left.substr(0, size));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && would_block(errno)) break;
    flows_ = written >= 0;
    if (written < 0) dropped_ += lines_in(left.substr(0, size));
    left.remove_prefix(written < 0 ? size : static_cast<std::size_t>(written));
  }
  pending_.erase(0, pending_.size() - left.size());
  behind_.store(!pending_.empty() || (dropped_ > 0 && flows_), std::memory_order_relaxed);
  return pending_.empty();
}

void Outlet::write(std::string_view lines) {
  const std::lock_guard lock(mutex_);
  if (pending_.size() + lines.size() <= kOutletPendingMax) {
    pending_.append(lines);
    flush_locked();
    return;
  }
  // Room may have come meanwhile; what is dropped is the newest, so that the order stays.
  if (flush_locked()) {
    pending_.assign(lines.substr(0, kOutletPendingMax));
    pending_.back() = '\n';  // as it is, unless it was cut
    flush_locked();
    return;
  }
  dropped_ += lines_in(lines);
  behind_.store(true, std::memory_order_relaxed);
}

bool Outlet::flush() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && flush_locked();  // else somebody is just writing
}

std::uint64_t Outlet::take_dropped() {
  if (!behind()) return 0;
  const std::lock_guard lock(mutex_);
  if (!pending_.empty() || !flows_) return 0;
  behind_.store(false, std::memory_order_relaxed);
  return std::exchange(dropped_, 0);
}

}  // namespace tricorn::base
