#pragma once

// Images that lie in the storage of a worker: done there, or read from there.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "codec/limits.h"
#include "engine/inspect.h"
#include "engine/operation.h"
#include "engine/run_job.h"
#include "rpc/worker_pool.h"

namespace histeq::rpc {

// A file that a worker has.
struct WorkerFile {
  // "node://NAME/path", and its NAME.
  std::string location;
  std::string storage;
  // The file that is meant; absent: whatever lies there.
  std::optional<uint64_t> size_bytes;
  std::optional<absl::Time> modify_time;
  // 32 bytes, or empty: any. Compared by Process; whoever reads what Open gives compares itself.
  std::string sha256;
  // A larger one is refused by Process (FILE_TOO_LARGE); 0: none is too large.
  uint64_t max_bytes = 0;
};

struct WorkerFilesOptions {
  // For the workers' logs.
  std::string job_id;
  uint64_t epoch = 0;
  std::string coordinator;
  // A call on which nothing moves for so long is broken.
  absl::Duration stall_timeout = absl::Seconds(20);
  // A worker says at once that it heard a call of Process; one that does not for so long hangs.
  absl::Duration answer_timeout = absl::Seconds(5);
  // Faults of workers before Process gives up; a worker that failed gets no work for `hold_back`.
  uint32_t max_tries = 3;
  absl::Duration hold_back = absl::Seconds(5);
};

// For one job. One thread at a time. Errors of all calls: those of the Worker service about files
// (FILE_NOT_FOUND, SOURCE_CHANGED, OUTSIDE_ROOTS, ...), and UNAVAILABLE STORAGE_GONE when no live
// worker has the storage (any more), or, of Process, none that answers.
class WorkerFiles {
 public:
  // `pool` outlives it.
  WorkerFiles(WorkerPool& pool, WorkerFilesOptions options);

  struct Processed {
    engine::JobResult result;
    // For Operation::Kind::kInspect.
    std::optional<engine::InspectedFile> inspected;
  };
  // Has a worker that has the file do all of it; the results' bytes go to `sink`, one after the
  // other. Waits for a free place. After an error `sink` may have some of them.
  // - OUT_OF_RANGE TOO_LARGE_HERE: no worker can do it whole; Open it. Nothing was written.
  // - INVALID_ARGUMENT, DATA_LOSS: the image is broken.
  absl::StatusOr<Processed> Process(const WorkerFile& file, const engine::Operation& operation,
                                    const codec::DecodeLimits& limits, base::ByteSink& sink,
                                    const base::CancelToken& token);

  // The file's bytes from `offset` on. The source may outlive this, but not the pool.
  absl::StatusOr<std::unique_ptr<base::ByteSource>> Open(const WorkerFile& file, uint64_t offset,
                                                         const base::CancelToken& token);

 private:
  WorkerPool& pool_;
  const WorkerFilesOptions options_;
};

}  // namespace histeq::rpc
