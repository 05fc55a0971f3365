#pragma once

// Segments on workers, and on this process's threads while there is no worker.

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "engine/executor.h"
#include "engine/thread_executor.h"
#include "rpc/worker_pool.h"

namespace histeq::v1 {
class ProcessFileRequest;
class ProcessFileResponse;
}  // namespace histeq::v1

namespace histeq::rpc {

struct RemoteExecutorOptions {
  // For the workers' logs.
  std::string job_id;
  uint64_t epoch = 0;
  std::string coordinator;
  // Segments that may be finished while one before them is not.
  uint32_t window = 32;
  // A segment's call on which nothing moves for so long goes to somebody else; the worker
  // gets no work for `hold_back`, longer when it happens again and again.
  absl::Duration stall_timeout = absl::Seconds(20);
  absl::Duration hold_back = absl::Seconds(5);
  // With nothing else to do, a segment that is out for longer than this (and longer than three
  // times what a segment takes) is also given to another worker; the first to finish wins.
  absl::Duration hedge_after = absl::Seconds(1);
  // Worker faults of one segment before this process does it itself.
  uint32_t max_remote_tries = 3;
  size_t chunk_bytes = 256 << 10;
};

// The executor of one job of a coordinator. Keeps one queue of segments that every free worker slot
// pulls from; a segment whose worker died, stalled or refused goes back to the front; with no live
// worker `local` pulls, and stops pulling when one comes.
class RemoteExecutor final : public engine::Executor {
 public:
  // `pool` and `local` outlive it.
  RemoteExecutor(WorkerPool& pool, engine::ThreadExecutor& local, RemoteExecutorOptions options);
  ~RemoteExecutor() override;

  absl::Status Transform(const engine::TransformSpec& spec, engine::SegmentExchange& exchange,
                         const base::CancelToken& token) override;
  absl::StatusOr<engine::ProcessedImage> ProcessImage(std::span<const uint8_t> file,
                                                      const engine::Operation& operation,
                                                      const codec::DecodeLimits& limits,
                                                      const base::CancelToken& token) override;
  uint32_t busy_workers() const override;

  // Waits until a worker answers, up to `timeout`: one that was just started takes its time.
  absl::Status AwaitWorker(absl::Duration timeout, const base::CancelToken& token);

  // Has one worker of this machine do a whole file, once: whoever started that worker knows better
  // what to do when it dies. Waits for a place; then the worker has `timeout`.
  // - the worker's answer; UNAVAILABLE when it is gone; DEADLINE_EXCEEDED after `timeout`.
  absl::StatusOr<v1::ProcessFileResponse> ProcessFile(const v1::ProcessFileRequest& request,
                                                      absl::Duration timeout,
                                                      const base::CancelToken& token);

 private:
  WorkerPool& pool_;
  engine::ThreadExecutor& local_;
  const RemoteExecutorOptions options_;
  std::atomic<uint32_t> busy_ = 0;
};

}  // namespace histeq::rpc
