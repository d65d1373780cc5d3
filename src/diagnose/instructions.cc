#include "diagnose/instructions.h"

#include <linux/perf_event.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/signals_blocked.h"
#include "base/unique_fd.h"

namespace tricorn::diagnose {
namespace {

constexpr std::uint64_t kPeriodNs = 1'000'000;
constexpr int kSamplesMax = 250;  // 16 bytes each, so that they fit into one page
constexpr std::size_t kStackBytes = std::size_t{64} * 1024;
/// Threads that wait for the kernel at a time; whoever comes then goes without. Source: our bound.
constexpr int kOpeningsMax = 8;

std::atomic<int> openings{0};

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

/// An event that counts the thread's time on a CPU, off until it is refreshed.
base::UniqueFd open_clock(pid_t tid) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.sample_period = kPeriodNs;
  attributes.sample_type = PERF_SAMPLE_IP;
  attributes.disabled = 1;
  attributes.exclude_kernel = 1;  // what perf_event_paranoid 2 asks of the unprivileged
  attributes.exclude_hv = 1;
  return base::UniqueFd(static_cast<int>(
      ::syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC)));
}

/// The records from 0 to `head` of a ring that never wraps.
std::vector<std::uint64_t> instructions_in(const char* data, std::uint64_t head) {
  std::vector<std::uint64_t> instructions;
  perf_event_header record{};
  for (std::uint64_t at = 0; at + sizeof record <= head; at += record.size) {
    std::memcpy(&record, data + at, sizeof record);
    if (record.size < sizeof record || at + record.size > head) break;
    std::uint64_t instruction = 0;
    if (record.type != PERF_RECORD_SAMPLE || record.size < sizeof record + sizeof instruction)
      continue;
    std::memcpy(&instruction, data + at + sizeof record, sizeof instruction);
    instructions.push_back(instruction);
  }
  return instructions;
}

}  // namespace

struct InstructionSampler::Event {
  explicit Event(pid_t tid_of) : tid(tid_of) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (ring != nullptr) ::munmap(ring, 2 * page_bytes());
  }

  /// On the opening thread.
  void open() {
    fd = open_clock(tid);
    if (!fd.valid()) return;
    void* mapped =
        ::mmap(nullptr, 2 * page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return;
    ring = static_cast<perf_event_mmap_page*>(mapped);
    // Off again by itself after so many: it may be forgotten without harm.
    if (::ioctl(fd.get(), PERF_EVENT_IOC_REFRESH, kSamplesMax) != 0) return;
    opened.store(true, std::memory_order_release);
  }

  const pid_t tid;
  base::UniqueFd fd;
  perf_event_mmap_page* ring = nullptr;
  std::atomic<bool> opened{false};  ///< fd and ring are the owner's to read
};

InstructionSampler::InstructionSampler(pid_t tid) : event_(std::make_shared<Event>(tid)) {
  if (openings.fetch_add(1) >= kOpeningsMax) {
    openings.fetch_sub(1);
    return;
  }
  const auto run = [](void* given) -> void* {
    const std::unique_ptr<std::shared_ptr<Event>> event(
        static_cast<std::shared_ptr<Event>*>(given));
    (*event)->open();
    openings.fetch_sub(1);
    return nullptr;
  };
  auto shared = std::make_unique<std::shared_ptr<Event>>(event_);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  const base::SignalsBlocked blocked;  // they are the main thread's
  pthread_t thread;
  if (::pthread_create(&thread, &attributes, run, shared.get()) == 0) {
    static_cast<void>(shared.release());  // the thread's now
  } else {
    openings.fetch_sub(1);
  }
  ::pthread_attr_destroy(&attributes);
}

InstructionSampler::~InstructionSampler() = default;

std::optional<std::vector<std::uint64_t>> InstructionSampler::seen() const {
  if (!event_->opened.load(std::memory_order_acquire)) return std::nullopt;
  const perf_event_mmap_page& ring = *event_->ring;
  const std::uint64_t head =
      std::min<std::uint64_t>(__atomic_load_n(&ring.data_head, __ATOMIC_ACQUIRE), page_bytes());
  return instructions_in(reinterpret_cast<const char*>(&ring) + page_bytes(), head);
}

}  // namespace tricorn::diagnose
