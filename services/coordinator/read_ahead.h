#pragma once

// Reading on a thread of its own, so that the network and the decoder work at the same time.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"

namespace histeq::coordinator {

// Reads `source` ahead of its reader by at most `limit_bytes` (at least one piece of 256 KiB).
// `source` must outlive it, and its Read must return soon after the job's token is cancelled: the
// destructor waits for it.
class ReadAhead final : public base::ByteSource {
 public:
  static constexpr size_t kPieceBytes = 256 << 10;

  ReadAhead(base::ByteSource& source, uint64_t limit_bytes);
  ~ReadAhead() override;
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

 private:
  void Run();

  base::ByteSource& source_;
  const size_t limit_pieces_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<uint8_t>> pieces_;
  // Read pieces, to be filled again.
  std::vector<std::vector<uint8_t>> spare_;
  // Of the first piece, taken already.
  size_t taken_ = 0;
  bool ended_ = false;
  absl::Status status_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace histeq::coordinator
