#pragma once

// The bytes of a job's image: those that were looked at first, then the rest.

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"

namespace histeq::engine {

// Ends with the token's status once that is cancelled, also inside a decoder that needs the whole
// file before its first row.
class JobSource final : public base::ByteSource {
 public:
  // `rest` and `token` outlive it.
  JobSource(base::ByteSource& rest, const base::CancelToken& token) : rest_(rest), token_(token) {}

  // Reads ahead up to `bytes`; they will come from Read() again. Whether that is the whole file.
  absl::StatusOr<bool> Peek(uint64_t bytes);
  std::span<const uint8_t> peeked() const { return {peeked_.get(), peeked_bytes_}; }

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

 private:
  base::ByteSource& rest_;
  const base::CancelToken& token_;
  // Not set to zero first.
  std::unique_ptr<uint8_t[]> peeked_;
  size_t peeked_bytes_ = 0;
  size_t used_ = 0;
  bool ended_ = false;
};

}  // namespace histeq::engine
