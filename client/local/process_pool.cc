#include "local/process_pool.h"

#include "base/status_macros.h"

namespace histeq::client {

class ProcessPool::Maker final : public ImageMaker {
 public:
  explicit Maker(ProcessPool& pool) : pool_(pool) {}

  absl::StatusOr<FileResult> Make(const ImageWork& work, const base::CancelToken& token) override {
    HISTEQ_ASSIGN_OR_RETURN(ProcessMaker* const process, pool_.Take(token));
    absl::StatusOr<FileResult> result = process->Make(work, token);
    pool_.Return(process);
    return result;
  }

 private:
  ProcessPool& pool_;
};

ProcessPool::ProcessPool(size_t processes, engine::ThreadExecutor& idle,
                         const WorkerProcessOptions& options) {
  for (size_t i = 0; i < processes; ++i) {
    processes_.push_back(std::make_unique<ProcessMaker>(idle, options));
    free_.push_back(processes_.back().get());
  }
}

std::vector<std::unique_ptr<ImageMaker>> ProcessPool::Makers() {
  // To have an image ready takes a small part of the time that one is worked on.
  const size_t ahead = (processes_.size() + 3) / 4;
  std::vector<std::unique_ptr<ImageMaker>> makers;
  for (size_t i = 0; i < processes_.size() + ahead; ++i) {
    makers.push_back(std::make_unique<Maker>(*this));
  }
  return makers;
}

absl::StatusOr<ProcessMaker*> ProcessPool::Take(const base::CancelToken& token) {
  const std::shared_ptr<void> wake = token.OnCancel([this] {
    std::lock_guard lock(mutex_);
    returned_.notify_all();
  });
  std::unique_lock lock(mutex_);
  // As long as images may take; each has a deadline.
  returned_.wait(lock, [&] { return !free_.empty() || token.cancelled(); });
  HISTEQ_RETURN_IF_ERROR(token.Check());
  // The one that worked last: the others need not have begun at all.
  ProcessMaker* const process = free_.back();
  free_.pop_back();
  return process;
}

void ProcessPool::Return(ProcessMaker* process) {
  std::lock_guard lock(mutex_);
  free_.push_back(process);
  returned_.notify_one();
}

}  // namespace histeq::client
