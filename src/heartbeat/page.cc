#include "heartbeat/page.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"

namespace tricorn::heartbeat {
namespace {

constexpr std::size_t kSlotsAt = (sizeof(Header) + 63) / 64 * 64;

std::size_t page_bytes(std::uint32_t slots, std::uint32_t holds) {
  // One more of each: the scratch places of hold() and answer_marks().
  return kSlotsAt + std::size_t{slots} * sizeof(Slot) +
         (std::size_t{holds} + 1) * (sizeof(AnswerMarks) + sizeof(Hold));
}

void* map(int fd, std::size_t size) {
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return base == MAP_FAILED ? nullptr : base;
}

}  // namespace

int create_page_fd() { return ::memfd_create("tricorn-page", MFD_CLOEXEC); }

Page::~Page() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

Page::Page(Page&& other) noexcept : Page() { *this = std::move(other); }

Page& Page::operator=(Page&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(slots_, other.slots_);
  std::swap(marks_, other.marks_);
  std::swap(holds_, other.holds_);
  std::swap(slot_count_, other.slot_count_);
  std::swap(hold_count_, other.hold_count_);
  return *this;
}

Page Page::create(int fd, std::uint32_t slot_count, std::uint32_t hold_count) {
  TRICORN_CHECK(slot_count >= 1 && slot_count <= kSlotsMax);
  const std::size_t size = page_bytes(slot_count, hold_count);
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return {};
  void* base = map(fd, size);  // zero-filled: every atomic starts as its zero value
  if (base == nullptr) return {};
  Page page(base, size);
  Header& header = page.header();
  header.slot_count = slot_count;
  header.hold_count = hold_count;
  header.version = kVersion;
  header.magic = kMagic;
  page.find_parts();
  return page;
}

Page Page::attach(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return {};
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size < sizeof(Header)) {
    errno = EINVAL;
    return {};
  }
  void* base = map(fd, size);
  if (base == nullptr) return {};
  Page page(base, size);
  const Header& header = page.header();
  if (header.magic != kMagic || header.version != kVersion ||
      size != page_bytes(header.slot_count, header.hold_count)) {
    errno = EINVAL;
    return {};
  }
  page.find_parts();
  return page;
}

bool Page::keep_copy() const {
  void* own = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own == MAP_FAILED) return false;
  std::memcpy(own, base_, kSlotsAt + std::size_t{slot_count_} * sizeof(Slot));
  if (::mremap(own, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, base_) != MAP_FAILED) return true;
  ::munmap(own, size_);
  return false;
}

void Page::find_parts() {
  slot_count_ = header().slot_count;
  hold_count_ = header().hold_count;
  char* at = static_cast<char*>(base_) + kSlotsAt;
  slots_ = reinterpret_cast<Slot*>(at);
  at += std::size_t{slot_count_} * sizeof(Slot);
  marks_ = reinterpret_cast<AnswerMarks*>(at);
  at += (std::size_t{hold_count_} + 1) * sizeof(AnswerMarks);
  holds_ = reinterpret_cast<std::atomic<Hold>*>(at);
}

Slot& Page::slot(std::uint32_t index) const {
  TRICORN_CHECK(index < slot_count_);
  return slots_[index];
}

std::optional<TakenAnswer> take_answer(Slot& slot, std::uint32_t id) {
  for (;;) {
    const std::optional<Claim> before = slot.claim.of(id);
    if (!before || *before == Claim::None || *before == Claim::Farewell) return std::nullopt;
    const int fd = slot.connection_fd.load();  // of `id`, if the claim is still the same
    if (!slot.claim.change(id, *before, Claim::Farewell)) continue;
    slot.abandoned.store(id);
    return TakenAnswer{*before, fd};
  }
}

void set_note(Note& note, std::string_view text) {
  const std::size_t kept = std::min(text.size(), kNoteBytesMax);
  note.bytes.store(0, std::memory_order_release);
  std::memcpy(note.text, text.data(), kept);
  note.bytes.store(static_cast<std::uint32_t>(kept), std::memory_order_release);
}

std::string text_of(const Client& client) {
  char text[INET6_ADDRSTRLEN] = "";
  if (client.family != AF_UNIX) ::inet_ntop(client.family, client.address, text, sizeof text);
  return text;
}

std::string_view text_of(const Note& note) {
  return {note.text,
          std::min<std::size_t>(note.bytes.load(std::memory_order_acquire), kNoteBytesMax)};
}

}  // namespace tricorn::heartbeat
