#pragma once

// A finished file that waits to be sent.

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/byte_stream.h"
#include "slots.h"

namespace histeq::worker {

// Keeps what is written, in blocks that never move, and takes memory from its place of work as it
// grows. Not thread-safe.
class ResultBytes final : public base::ByteSink {
 public:
  // Whole but for the last.
  static constexpr size_t kBlockBytes = 256 << 10;

  // The place holds `held` bytes for it already, and outlives it.
  ResultBytes(Slots::Place& place, uint64_t held) : place_(place), held_(held) {}

  // RESOURCE_EXHAUSTED MEMORY_BUDGET as Slots::Place::Grow.
  absl::Status Write(std::span<const uint8_t> bytes) override;

  uint64_t size() const { return size_; }
  const std::deque<std::vector<uint8_t>>& blocks() const { return blocks_; }

 private:
  Slots::Place& place_;
  uint64_t held_;
  uint64_t size_ = 0;
  std::deque<std::vector<uint8_t>> blocks_;
};

}  // namespace histeq::worker
