// Memory of another process: read as it is, as it was at one moment, or ahead of need.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace tricorn::diagnose {

/// Memory of some process.
class Memory {
 public:
  virtual ~Memory() = default;
  /// Copies `bytes` from `address`. @return false unless all of them could be read
  [[nodiscard]] virtual bool read(std::uint64_t address, void* into, std::size_t bytes) const = 0;
  /// Copies `bytes` from each address, one behind the other.
  /// @return how many could be read, from the first one on
  [[nodiscard]] virtual std::size_t read_each(std::span<const std::uint64_t> addresses,
                                              std::size_t bytes, char* into) const;
};

/// Memory of a living process, also a stopped or hung one. Source: process_vm_readv(2).
class ProcessMemory final : public Memory {
 public:
  explicit ProcessMemory(pid_t pid) : pid_(pid) {}
  [[nodiscard]] bool read(std::uint64_t address, void* into, std::size_t bytes) const override;
  [[nodiscard]] std::size_t read_each(std::span<const std::uint64_t> addresses, std::size_t bytes,
                                      char* into) const override;

 private:
  pid_t pid_;
};

/// A piece of memory as it was at one moment, and the rest as it is now. The frames of a thread lie
/// side by side, and those that run for microseconds are gone before they are read one by one: a
/// chain that breaks there loses the frames outside, which stand still.
class SnapshotMemory final : public Memory {
 public:
  /// Copies what can be read of the 16 KiB up to `end`. Source: CPython's
  /// DATA_STACK_CHUNK_SIZE, some 100 frames
  SnapshotMemory(const Memory& memory, std::uint64_t end);
  [[nodiscard]] bool read(std::uint64_t address, void* into, std::size_t bytes) const override;

 private:
  const Memory& memory_;
  std::uint64_t start_ = 0;
  std::vector<char> copy_;
};

/// Objects that will be needed, read many at a time, and the rest as it is now: one call for all
/// of them takes a third of what one for each takes.
class ReadAhead final : public Memory {
 public:
  explicit ReadAhead(const Memory& memory) : memory_(memory) {}
  /// Copies `bytes` from each address; those that cannot be read are left out.
  void fetch(std::span<const std::uint64_t> addresses, std::size_t bytes);
  [[nodiscard]] bool read(std::uint64_t address, void* into, std::size_t bytes) const override;

 private:
  struct Piece {
    std::size_t at;  ///< in `copy_`
    std::size_t bytes;
  };
  const Memory& memory_;
  std::map<std::uint64_t, Piece> pieces_;
  std::vector<char> copy_;
};

}  // namespace tricorn::diagnose
