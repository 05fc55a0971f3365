#pragma once

// Decoded segments that wait for the mapping: in memory within the budget, then in an unlinked
// file.

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/memory_budget.h"
#include "page_range.h"

namespace histeq::engine {

// Filled by one thread, segment after segment: Allocate(i), fill the bytes, Store(i). After that
// any number of threads may read and release.
class Spool {
 public:
  // For `count` segments of at most `segment_bytes` (> 0) each. `budget` may be null (everything
  // goes to the file); it outlives the spool.
  Spool(uint32_t count, uint64_t segment_bytes, base::MemoryBudget* budget, std::string directory);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // `bytes` (1 to segment_bytes) to fill, page-aligned, of any content; valid until Store.
  // RESOURCE_EXHAUSTED (OUT_OF_MEMORY).
  absl::StatusOr<std::span<uint8_t>> Allocate(uint32_t index, uint64_t bytes);
  // RESOURCE_EXHAUSTED: DISK_FULL, SCRATCH_FAILED.
  absl::Status Store(uint32_t index);
  // Nothing more is stored: gives up memory that was kept for it.
  void Seal();

  // Copies from byte `offset` of a stored segment. RESOURCE_EXHAUSTED (SCRATCH_FAILED);
  // FAILED_PRECONDITION after Release; OUT_OF_RANGE.
  absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) const;
  // The stored segment itself when it is in memory, otherwise empty; valid until Release.
  std::span<uint8_t> InPlace(uint32_t index) const;
  // Gives back the segment's memory, or its part of the disk.
  void Release(uint32_t index);

  uint64_t memory_bytes() const;
  uint64_t file_bytes() const;

 private:
  struct Entry {
    uint64_t bytes = 0;
    // In the arena, or in the file.
    uint64_t offset = 0;
    bool in_memory = false;
    bool stored = false;
  };

  std::span<uint8_t> InArena(const Entry& entry) const;
  bool TakeMemory(uint64_t bytes);
  absl::Status OpenFile();

  base::MemoryBudget* const budget_;
  const std::string directory_;
  const uint64_t segment_bytes_;
  // Address space for what may wait in memory; pages come when they are filled and go when their
  // segment is released.
  PageRange arena_;
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  uint64_t memory_bytes_ = 0;
  // What the filling thread alone uses: bytes of the arena that were given out, and memory of
  // segments that go to the file, used again and again.
  uint64_t arena_used_ = 0;
  PageRange staging_;
  // Set before the first segment in the file is stored.
  int fd_ = -1;
  uint64_t file_bytes_ = 0;
};

}  // namespace histeq::engine
