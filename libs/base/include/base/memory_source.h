#pragma once

// Bytes in memory as a source.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"

namespace histeq::base {

// Gives the bytes, which outlive it. One thread at a time. Never fails.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : rest_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t length = std::min(buffer.size(), rest_.size());
    std::copy_n(rest_.begin(), length, buffer.begin());
    rest_ = rest_.subspan(length);
    return length;
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace histeq::base
