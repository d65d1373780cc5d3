#include "diagnose/syscalls.h"

#include <fcntl.h>
#include <sys/syscall.h>

namespace tricorn::diagnose {
namespace {

bool waits_for_lock(std::uint64_t command) {
  return command == F_SETLKW || command == F_OFD_SETLKW;
}

#ifdef SYS_poll
/// Calls that only the older tables have (x86-64); aarch64 knows their newer forms alone.
Call older_call_of(std::int64_t number) {
  switch (number) {
    case SYS_poll:
      return Call::Poll;
    case SYS_select:
      return Call::Select;
    case SYS_epoll_wait:
      return Call::Epoll;
    case SYS_open:
    case SYS_creat:
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
    case SYS_unlink:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_rename:
      return Call::Open;
    case SYS_pause:
      return Call::Signal;
    default:
      return Call::Other;
  }
}
#else
Call older_call_of(std::int64_t) { return Call::Other; }
#endif

}  // namespace

Call call_of(std::int64_t number, std::uint64_t second) {
  switch (number) {
    case -1:
      return Call::None;
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      return Call::Sleep;
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_preadv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
      return Call::Receive;
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_sendfile:
      return Call::Send;
    case SYS_connect:
      return Call::Connect;
    case SYS_accept:
    case SYS_accept4:
      return Call::Accept;
    case SYS_ppoll:
      return Call::Poll;
    case SYS_pselect6:
      return Call::Select;
    case SYS_epoll_pwait:
      return Call::Epoll;
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
      return Call::Epoll;
#endif
    case SYS_futex:
      return Call::Futex;
    case SYS_wait4:
    case SYS_waitid:
      return Call::WaitChild;
    case SYS_flock:
      return Call::FileLock;
    case SYS_fcntl:
      return waits_for_lock(second) ? Call::FileLock : Call::Other;
    case SYS_openat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_unlinkat:
    case SYS_mkdirat:
    case SYS_renameat2:
    case SYS_truncate:
    case SYS_getdents64:
    case SYS_ftruncate:
      return Call::Open;
    case SYS_rt_sigtimedwait:
    case SYS_rt_sigsuspend:
      return Call::Signal;
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync:
    case SYS_syncfs:
      return Call::Sync;
    default:
      return older_call_of(number);
  }
}

std::uint64_t path_argument(std::int64_t number, const std::array<std::uint64_t, 6>& args) {
  switch (number) {
    case SYS_getdents64:
    case SYS_ftruncate:
      return 0;
    case SYS_openat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_unlinkat:
    case SYS_mkdirat:
    case SYS_renameat2:
      return args[1];
    default:
      return call_of(number, args[1]) == Call::Open ? args[0] : 0;
  }
}

}  // namespace tricorn::diagnose
