#pragma once

// Sequences of bytes without saying where they come from or go: files, sockets, gRPC streams,
// memory.

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace histeq::base {

// A forward-only source of bytes. One thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Reads up to buffer.size() bytes (> 0) and returns how many, at least 1, or 0 at the end. May
  // block.
  virtual absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) = 0;
};

// A forward-only sink of bytes. One thread at a time.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Takes all of `bytes` or fails. May block. The bytes may be reused after the return.
  virtual absl::Status Write(std::span<const uint8_t> bytes) = 0;
};

}  // namespace histeq::base
