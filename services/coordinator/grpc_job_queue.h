#pragma once

// The frontend's JobQueue over gRPC.

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/watchdog.h"
#include "grpcpp/channel.h"
#include "histeq/v1/job_queue.grpc.pb.h"
#include "job_queue.h"

namespace histeq::coordinator {

class GrpcJobQueue final : public JobQueue {
 public:
  struct Options {
    // This coordinator's name.
    std::string coordinator;
    // A call without an answer, or a stream on which nothing moves, is broken after this.
    absl::Duration stall_timeout = absl::Seconds(30);
    // Between the last byte of a result and the frontend's answer that it is durable.
    absl::Duration commit_timeout = absl::Seconds(120);
    // Bytes in a chunk, at most 1 MiB.
    size_t chunk_bytes = 256 << 10;
  };

  // `watchdog` must outlive the queue and its streams.
  GrpcJobQueue(std::shared_ptr<grpc::Channel> channel, base::Watchdog& watchdog, Options options);

  absl::StatusOr<std::optional<LeaseGrant>> Lease(absl::Duration wait,
                                                  const base::CancelToken& token) override;
  absl::StatusOr<std::unique_ptr<base::ByteSource>> OpenSource(
      const LeaseKey& key, uint64_t offset, bool reference,
      const base::CancelToken& token) override;
  absl::Status Complete(const LeaseKey& key, const ReadResult& read,
                        const std::vector<uint64_t>& result_bytes,
                        const engine::ImageStatistics* statistics,
                        const base::CancelToken& token) override;
  absl::Status CompleteInspected(const LeaseKey& key, const engine::InspectedFile& file,
                                 const base::CancelToken& token) override;
  absl::Status Fail(const LeaseKey& key, Outcome outcome, const absl::Status& why,
                    const base::CancelToken& token) override;

 private:
  base::Watchdog& watchdog_;
  const Options options_;
  const std::unique_ptr<v1::JobQueue::StubInterface> stub_;
};

}  // namespace histeq::coordinator
