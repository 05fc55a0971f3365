// Sources and sinks of bytes that fail, wait or notice at a given place.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/byte_stream.h"

namespace histeq::testing {

using Bytes = std::vector<uint8_t>;

// Bytes of a file, in pieces of at most `piece`.
class TestSource final : public base::ByteSource {
 public:
  explicit TestSource(Bytes bytes, size_t piece = 10'000)
      : bytes_(std::move(bytes)), piece_(piece) {}

  // `act` is called once, before the byte `offset` is given; an error that it returns is answered.
  void At(uint64_t offset, std::function<absl::Status()> act) { acts_[offset] = std::move(act); }

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

  uint64_t position() const { return position_; }

 private:
  const Bytes bytes_;
  const size_t piece_;
  std::map<uint64_t, std::function<absl::Status()>> acts_;
  uint64_t position_ = 0;
};

// Keeps what is written.
class TestSink final : public base::ByteSink {
 public:
  void At(uint64_t size, std::function<absl::Status()> act) { acts_[size] = std::move(act); }

  absl::Status Write(std::span<const uint8_t> bytes) override;

  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  std::map<uint64_t, std::function<absl::Status()>> acts_;
};

}  // namespace histeq::testing
