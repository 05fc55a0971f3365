#pragma once

// Memory for what must wait whole: anonymous within the budget, otherwise a mapped unlinked file.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/memory_budget.h"

namespace histeq::codec {

// Movable; empty after a move.
class Scratch {
 public:
  // `bytes` zeros, aligned to a page. RESOURCE_EXHAUSTED: DISK_FULL, SCRATCH_FAILED,
  // OUT_OF_MEMORY (address space, "needed"). `budget` may be null: a file in any case; it outlives
  // the scratch.
  static absl::StatusOr<Scratch> Create(uint64_t bytes, base::MemoryBudget* budget,
                                        const std::string& directory);
  Scratch() = default;
  Scratch(Scratch&& other) noexcept;
  Scratch& operator=(Scratch&& other) noexcept;
  ~Scratch();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  // Takes [begin, end) out of this process's memory when it is in a file; its content stays.
  void Release(uint64_t begin, uint64_t end) const;

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  base::MemoryBudget* budget_ = nullptr;
};

}  // namespace histeq::codec
