#pragma once

// The finished file while it is written and until the frontend has it.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "base/memory_budget.h"

namespace histeq::coordinator {

// Takes bytes in order and gives them back from the start as often as wanted, also while more are
// written. Bytes stay in memory as long as the budget has room for them, the others go to an
// unlinked file, so that nothing remains after a crash. One writer; any number of readers on other
// threads.
class ResultSpool final : public base::ByteSink {
 public:
  // `budget` must outlive the spool; `scratch_dir` is a writable folder.
  ResultSpool(base::MemoryBudget& budget, std::string scratch_dir);
  ~ResultSpool() override;
  ResultSpool(const ResultSpool&) = delete;
  ResultSpool& operator=(const ResultSpool&) = delete;

  // RESOURCE_EXHAUSTED: DISK_FULL (metadata "limit", "actual"), SCRATCH_FAILED.
  absl::Status Write(std::span<const uint8_t> bytes) override;

  // After the last Write: no more bytes will come. Computes nothing.
  void Close();
  // Instead of Close: readers get `why` (not OK).
  void Abandon(absl::Status why);

  // Copies up to buffer.size() (> 0) bytes from `offset` and returns how many; waits for them while
  // the writer is busy; 0 at the end of a closed spool. Fails with the reason of Abandon or
  // `token`; RESOURCE_EXHAUSTED (SCRATCH_FAILED) when the file cannot be read.
  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer,
                                const base::CancelToken& token);

  // Bytes written so far.
  uint64_t size() const;
  bool closed() const;

 private:
  struct Block {
    // Null: the block is in the file.
    std::unique_ptr<uint8_t[]> memory;
  };

  absl::Status OpenFile();

  base::MemoryBudget& budget_;
  const std::string scratch_dir_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Block i holds bytes [i, i + 1) * kBlockBytes; in the file it stands at the same offset.
  std::vector<Block> blocks_;
  uint64_t size_ = 0;
  int64_t taken_bytes_ = 0;
  int fd_ = -1;
  bool closed_ = false;
  absl::Status abandoned_;
};

}  // namespace histeq::coordinator
