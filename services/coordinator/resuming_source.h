#pragma once

// A byte stream that survives its connection.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"

namespace histeq::coordinator {

// Reads what `open` gives; when the stream breaks, or ends before `size_bytes` (absent: its end is
// the end), opens it again at the offset reached, after a pause that grows, until `token` is
// cancelled (as the lease's is when it is lost). Returned as they are: failures that a repetition
// does not mend, and those that are not IsPassing when they come kTries times without a byte
// between them. One thread at a time.
class ResumingSource final : public base::ByteSource {
 public:
  // Opens the bytes from an offset on.
  using OpenAt = std::function<absl::StatusOr<std::unique_ptr<base::ByteSource>>(uint64_t offset)>;
  // Called before every further try.
  using Resumed = std::function<void(uint64_t offset, const absl::Status& why)>;

  ResumingSource(OpenAt open, std::optional<uint64_t> size_bytes, base::CancelToken token,
                 Resumed resumed);
  ~ResumingSource() override;

  // Also DATA_LOSS (SOURCE_CHANGED): the bytes end before `size_bytes`.
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

  uint64_t offset() const { return offset_; }
  // What Read failed with for good, other than the token's status; OK when it did not.
  const absl::Status& failure() const { return failure_; }

 private:
  const OpenAt open_;
  const std::optional<uint64_t> size_bytes_;
  const base::CancelToken token_;
  const Resumed resumed_;
  std::unique_ptr<base::ByteSource> stream_;
  uint64_t offset_ = 0;
  // At offset_, not counting those that pass.
  int failures_ = 0;
  absl::Status failure_;
};

}  // namespace histeq::coordinator
