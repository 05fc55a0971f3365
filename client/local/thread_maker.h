#pragma once

// Images on threads of this process.

#include "base/memory_budget.h"
#include "engine/thread_executor.h"
#include "local/image_maker.h"

namespace histeq::client {

// What the makers of a batch share.
struct ThreadMakerOptions {
  codec::DecodeLimits limits;
  std::string scratch_dir = "/var/tmp";
  uint64_t small_image_bytes = 1ull << 20;
};

// Decodes on the calling thread; segments of large images go to `executor`, which all makers of
// the batch share.
class ThreadMaker final : public ImageMaker {
 public:
  // Both outlive it.
  ThreadMaker(engine::ThreadExecutor& executor, base::MemoryBudget& budget,
              ThreadMakerOptions options)
      : executor_(executor), budget_(budget), options_(std::move(options)) {}

  absl::StatusOr<FileResult> Make(const ImageWork& work, const base::CancelToken& token) override;

 private:
  engine::ThreadExecutor& executor_;
  base::MemoryBudget& budget_;
  const ThreadMakerOptions options_;
};

}  // namespace histeq::client
