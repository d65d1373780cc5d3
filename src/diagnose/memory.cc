#include "diagnose/memory.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace tricorn::diagnose {

std::size_t Memory::read_each(std::span<const std::uint64_t> addresses, std::size_t bytes,
                              char* into) const {
  std::size_t done = 0;
  while (done < addresses.size() && read(addresses[done], into + done * bytes, bytes)) ++done;
  return done;
}

bool ProcessMemory::read(std::uint64_t address, void* into, std::size_t bytes) const {
  if (bytes == 0) return true;
  const iovec local{into, bytes};
  const iovec remote{reinterpret_cast<void*>(address), bytes};  // NOLINT: an address over there
  return ::process_vm_readv(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

// A call ends at the first place that cannot be read, and never in the middle of one. Source:
// process_vm_readv(2)
std::size_t ProcessMemory::read_each(std::span<const std::uint64_t> addresses, std::size_t bytes,
                                     char* into) const {
  std::array<iovec, 64> remote;
  std::size_t done = 0;
  while (done < addresses.size()) {
    const std::size_t count = std::min(addresses.size() - done, remote.size());
    for (std::size_t i = 0; i < count; ++i)
      remote[i] = {reinterpret_cast<void*>(addresses[done + i]), bytes};  // NOLINT: over there
    const iovec local{into + done * bytes, count * bytes};
    const ssize_t got = ::process_vm_readv(pid_, &local, 1, remote.data(), count, 0);
    const std::size_t read = got <= 0 ? 0 : static_cast<std::size_t>(got) / bytes;
    done += read;
    if (read < count) break;
  }
  return done;
}

SnapshotMemory::SnapshotMemory(const Memory& memory, std::uint64_t end) : memory_(memory) {
  constexpr std::uint64_t kBytes = 16 * 1024;
  // Below the first frame there may be nothing.
  for (std::uint64_t bytes = kBytes; bytes >= kBytes / 16 && end > kBytes; bytes /= 2) {
    copy_.resize(bytes);
    start_ = end - bytes;
    if (memory.read(start_, copy_.data(), bytes)) return;
  }
  copy_.clear();
}

bool SnapshotMemory::read(std::uint64_t address, void* into, std::size_t bytes) const {
  if (address < start_ || address - start_ + bytes > copy_.size())
    return memory_.read(address, into, bytes);
  std::memcpy(into, copy_.data() + (address - start_), bytes);
  return true;
}

void ReadAhead::fetch(std::span<const std::uint64_t> addresses, std::size_t bytes) {
  while (!addresses.empty()) {
    const std::size_t start = copy_.size();
    copy_.resize(start + addresses.size() * bytes);
    const std::size_t done = memory_.read_each(addresses, bytes, copy_.data() + start);
    for (std::size_t i = 0; i < done; ++i)
      pieces_.insert_or_assign(addresses[i], Piece{start + i * bytes, bytes});
    copy_.resize(start + done * bytes);
    addresses = addresses.subspan(std::min(done + 1, addresses.size()));
  }
}

bool ReadAhead::read(std::uint64_t address, void* into, std::size_t bytes) const {
  auto piece = pieces_.upper_bound(address);  // the one behind it
  if (piece == pieces_.begin()) return memory_.read(address, into, bytes);
  --piece;
  const std::uint64_t offset = address - piece->first;
  if (offset + bytes > piece->second.bytes) return memory_.read(address, into, bytes);
  std::memcpy(into, copy_.data() + piece->second.at + offset, bytes);
  return true;
}

}  // namespace tricorn::diagnose
