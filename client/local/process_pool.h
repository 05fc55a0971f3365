#pragma once

// Worker processes that are never idle.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "local/process_maker.h"

namespace histeq::client {

// Some processes, shared by more makers than there are of them: while the processes work, the
// makers that wait have their next images ready, claimed and with files for their results.
// Thread-safe.
class ProcessPool {
 public:
  // `idle` outlives it: see ProcessMaker.
  ProcessPool(size_t processes, engine::ThreadExecutor& idle, const WorkerProcessOptions& options);

  // Makers that use it; it outlives them. Threads that called Make() live until all are done: a
  // process dies with the thread that started it.
  std::vector<std::unique_ptr<ImageMaker>> Makers();

 private:
  class Maker;

  // One that nobody uses. The token's status.
  absl::StatusOr<ProcessMaker*> Take(const base::CancelToken& token);
  void Return(ProcessMaker* process);

  std::vector<std::unique_ptr<ProcessMaker>> processes_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<ProcessMaker*> free_;
};

}  // namespace histeq::client
