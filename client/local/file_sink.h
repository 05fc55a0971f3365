#pragma once

// Bytes into an open file.

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_stream.h"

namespace histeq::client {

// Small writes are collected. The descriptor outlives it. One thread at a time.
class FileSink final : public base::ByteSink {
 public:
  // `path` is for messages.
  FileSink(std::string path, int descriptor);

  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE; RESOURCE_EXHAUSTED DISK_FULL.
  absl::Status Write(std::span<const uint8_t> bytes) override;
  // After the last write. As Write.
  absl::Status Flush();

 private:
  absl::Status WriteAll(std::span<const uint8_t> bytes);

  const std::string path_;
  const int descriptor_;
  std::vector<uint8_t> buffer_;
};

}  // namespace histeq::client
