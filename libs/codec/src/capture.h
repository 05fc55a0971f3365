#pragma once

// Byte streams in memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/byte_stream.h"

namespace histeq::codec {

// A source with some bytes put back in front of it.
class PrefixedSource : public base::ByteSource {
 public:
  PrefixedSource(std::vector<uint8_t> prefix, base::ByteSource& rest)
      : prefix_(std::move(prefix)), rest_(rest) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

 private:
  std::vector<uint8_t> prefix_;
  size_t used_ = 0;
  base::ByteSource& rest_;
};

// Reads until `size` bytes are there or the source ends.
absl::StatusOr<std::vector<uint8_t>> ReadUpTo(base::ByteSource& source, size_t size);

}  // namespace histeq::codec
