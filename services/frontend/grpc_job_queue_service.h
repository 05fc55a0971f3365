#pragma once

// The JobQueue service: what coordinators call.

#include <functional>
#include <list>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "grpc_core.h"
#include "grpc_server_call.h"
#include "histeq/v1/job_queue.grpc.pb.h"

namespace histeq::frontend {

class GrpcJobQueueService final : public v1::JobQueue::Service {
 public:
  // `core` outlives the service and its calls.
  explicit GrpcJobQueueService(FrontendCore& core) : core_(core) {}

  grpc::Status Heartbeat(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) override;
  grpc::Status LeaseJob(grpc::ServerContext* context, const v1::LeaseJobRequest* request,
                        v1::LeaseJobResponse* response) override;
  grpc::Status ReadSource(grpc::ServerContext* context, const v1::ReadSourceRequest* request,
                          grpc::ServerWriter<v1::ReadSourceResponse>* writer) override;
  grpc::Status CompleteJob(grpc::ServerContext* context,
                           grpc::ServerReader<v1::CompleteJobRequest>* reader,
                           v1::CompleteJobResponse* response) override;
  grpc::Status FailJob(grpc::ServerContext* context, const v1::FailJobRequest* request,
                       v1::FailJobResponse* response) override;

  // Ends the heartbeat streams, also those that come later, with UNAVAILABLE.
  void EndHeartbeats();

 private:
  using Enders = std::list<std::function<void(const absl::Status&)>>;

  FrontendCore& core_;
  std::mutex mutex_;
  Enders heartbeats_;
  bool ended_ = false;
};

// Whether a coordinator may connect. PERMISSION_DENIED UNKNOWN_COORDINATOR.
absl::Status CheckAllowed(const store::Catalog& catalog, const std::string& coordinator);

// CompleteJob, in a file of its own.
absl::Status Complete(FrontendCore& core, const ServerCall& call,
                      grpc::ServerReader<v1::CompleteJobRequest>& reader,
                      v1::CompleteJobResponse& response);

}  // namespace histeq::frontend
