#pragma once

// Bytes that are written once and read again: the first megabyte in memory, more within the budget,
// then in unlinked files.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/memory_budget.h"
#include "codec/scratch.h"

namespace histeq::engine {

// Not thread-safe.
class ByteSpool final : public base::ByteSink {
 public:
  // `budget` may be null: nothing but the first megabyte in memory. It outlives the spool.
  ByteSpool(base::MemoryBudget* budget, std::string directory)
      : budget_(budget), directory_(std::move(directory)) {}

  // RESOURCE_EXHAUSTED: DISK_FULL, SCRATCH_FAILED.
  absl::Status Write(std::span<const uint8_t> bytes) override;
  uint64_t size() const { return size_; }

  // Reads all from the start; the spool outlives it, and is not written meanwhile.
  std::unique_ptr<base::ByteSource> Open() const;
  // Writes all to `sink`.
  absl::Status CopyTo(base::ByteSink& sink) const;

 private:
  class Source;
  std::span<const uint8_t> PieceAt(uint64_t offset) const;

  base::MemoryBudget* const budget_;
  const std::string directory_;
  std::vector<uint8_t> head_;
  std::vector<codec::Scratch> pieces_;
  uint64_t size_ = 0;
  // Bytes that head and pieces can hold.
  uint64_t capacity_ = 0;
};

}  // namespace histeq::engine
