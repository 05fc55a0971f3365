#pragma once

// The frontend's job queue as the coordinator's logic sees it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "engine/inspect.h"
#include "engine/operation.h"
#include "engine/run_job.h"
#include "job_outcome.h"
#include "lease_table.h"
#include "node_storage.h"

namespace histeq::coordinator {

// A job that was given to this coordinator.
struct LeaseGrant {
  LeaseKey key;
  absl::Duration ttl;
  // 1 for the first attempt.
  uint32_t attempt = 0;
  std::string image_id;
  std::string image_name;
  uint64_t image_bytes = 0;
  // 32 bytes, or empty when the frontend did not say.
  std::string image_sha256;
  // The whole image, when it came with the lease: it need not be opened. Its size is image_bytes,
  // its SHA-256 is not compared yet.
  std::optional<std::string> image_source;
  // Set when the bytes are not the frontend's to give: read them there.
  std::optional<NodeFile> image_file;
  // Or why it cannot be understood, which is a permanent error of the job.
  absl::StatusOr<engine::Operation> operation = absl::UnknownError("not set");
  // The image that an operation which reads_reference takes its histogram from.
  struct Reference {
    // To be read with OpenSource(reference).
    uint64_t bytes = 0;
    std::string sha256;
    std::optional<NodeFile> file;
    // Then there is nothing to be read.
    std::optional<engine::ImageStatistics> statistics;
    std::string image_id;
  };
  std::optional<Reference> reference;
};

// One implementation speaks gRPC. Thread-safe. Every call is one try; the callers repeat. Errors of
// all calls about a lease: FAILED_PRECONDITION when the lease is gone, PERMISSION_DENIED when this
// coordinator is refused, the token's status when cancelled.
class JobQueue {
 public:
  virtual ~JobQueue() = default;

  // Takes the next job; waits for one up to `wait`. Nothing: there was none.
  virtual absl::StatusOr<std::optional<LeaseGrant>> Lease(absl::Duration wait,
                                                          const base::CancelToken& token) = 0;

  // The source image (or the reference image) from `offset` on; checksums of chunks are compared.
  // Must be destroyed before this queue.
  virtual absl::StatusOr<std::unique_ptr<base::ByteSource>> OpenSource(
      const LeaseKey& key, uint64_t offset, bool reference, const base::CancelToken& token) = 0;

  // Sends what the job made. `read(offset, buffer)` gives the bytes, of one result after the other,
  // 0 at the end; it may wait. `result_bytes`: sizes of the results; empty for a job that has one
  // whose size is not known yet. `statistics` for an analyze job. Returns when the frontend has
  // made all durable.
  using ReadResult = std::function<absl::StatusOr<size_t>(uint64_t, std::span<uint8_t>)>;
  virtual absl::Status Complete(const LeaseKey& key, const ReadResult& read,
                                const std::vector<uint64_t>& result_bytes,
                                const engine::ImageStatistics* statistics,
                                const base::CancelToken& token) = 0;

  // Sends the result of an inspect job.
  virtual absl::Status CompleteInspected(const LeaseKey& key, const engine::InspectedFile& file,
                                         const base::CancelToken& token) = 0;

  // Gives the lease up. `why` is not OK.
  virtual absl::Status Fail(const LeaseKey& key, Outcome outcome, const absl::Status& why,
                            const base::CancelToken& token) = 0;
};

}  // namespace histeq::coordinator
