#pragma once

// Images in a process of their own, which may die.

#include <memory>

#include "engine/thread_executor.h"
#include "local/image_maker.h"
#include "local/worker_process.h"

namespace histeq::client {

// Keeps one worker process, which does one image after the other. When an image takes it down, or
// longer than it may, another process gets the image, alone, once more; then it is the image's
// fault. No image is ever decoded by the calling process.
class ProcessMaker final : public ImageMaker {
 public:
  // `idle` outlives it, and does nothing: the remote executor wants one.
  ProcessMaker(engine::ThreadExecutor& idle, WorkerProcessOptions options);
  ~ProcessMaker() override;

  absl::StatusOr<FileResult> Make(const ImageWork& work, const base::CancelToken& token) override;

 private:
  struct Live;

  absl::Status Start(const base::CancelToken& token);

  engine::ThreadExecutor& idle_;
  const WorkerProcessOptions options_;
  std::unique_ptr<Live> live_;
};

}  // namespace histeq::client
