#pragma once

// Byte streams over memory for tests.

#include <algorithm>
#include <span>
#include <vector>

#include "base/byte_stream.h"

namespace histeq::codec {

// Gives at most `piece` bytes at a time. With `failure` not OK, that comes in place of the end.
class MemorySource : public base::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes, size_t piece = SIZE_MAX,
                        absl::Status failure = absl::OkStatus())
      : left_(bytes), piece_(piece), failure_(std::move(failure)) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t n = std::min({buffer.size(), left_.size(), piece_});
    if (n == 0 && !failure_.ok()) return failure_;
    std::copy_n(left_.begin(), n, buffer.begin());
    left_ = left_.subspan(n);
    return n;
  }
  size_t left() const { return left_.size(); }

 private:
  std::span<const uint8_t> left_;
  const size_t piece_;
  const absl::Status failure_;
};

class MemorySink : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> bytes;
};

// Takes `room` bytes, then fails.
class FullSink : public base::ByteSink {
 public:
  explicit FullSink(size_t room) : room_(room) {}
  absl::Status Write(std::span<const uint8_t> more) override {
    if (more.size() > room_) return absl::ResourceExhaustedError("full");
    room_ -= more.size();
    return absl::OkStatus();
  }

 private:
  size_t room_;
};

}  // namespace histeq::codec
