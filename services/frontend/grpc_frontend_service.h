#pragma once

// The Frontend service: what clients call.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpc_core.h"
#include "grpc_server_call.h"
#include "histeq/v1/frontend.grpc.pb.h"

namespace histeq::frontend {

class GrpcFrontendService final : public v1::Frontend::Service {
 public:
  // `core` outlives the service and its calls.
  explicit GrpcFrontendService(FrontendCore& core) : core_(core) {}

  grpc::Status UploadImage(grpc::ServerContext* context,
                           grpc::ServerReader<v1::UploadImageRequest>* reader,
                           v1::UploadImageResponse* response) override;
  grpc::Status GetUpload(grpc::ServerContext* context, const v1::GetUploadRequest* request,
                         v1::GetUploadResponse* response) override;
  grpc::Status RegisterImage(grpc::ServerContext* context, const v1::RegisterImageRequest* request,
                             v1::RegisterImageResponse* response) override;
  grpc::Status GetImage(grpc::ServerContext* context, const v1::GetImageRequest* request,
                        v1::GetImageResponse* response) override;
  grpc::Status ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* request,
                          v1::ListImagesResponse* response) override;
  grpc::Status DeleteImage(grpc::ServerContext* context, const v1::DeleteImageRequest* request,
                           v1::DeleteImageResponse* response) override;
  grpc::Status DownloadImage(grpc::ServerContext* context, const v1::DownloadImageRequest* request,
                             grpc::ServerWriter<v1::DownloadImageResponse>* writer) override;
  grpc::Status GetHistogram(grpc::ServerContext* context, const v1::GetHistogramRequest* request,
                            v1::GetHistogramResponse* response) override;
  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request,
                         v1::CreateJobResponse* response) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::GetJobResponse* response) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::CancelJobResponse* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override;
  grpc::Status ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                         v1::ListNodesResponse* response) override;
  grpc::Status RegisterCoordinator(grpc::ServerContext* context,
                                   const v1::RegisterCoordinatorRequest* request,
                                   v1::RegisterCoordinatorResponse* response) override;
  grpc::Status RemoveCoordinator(grpc::ServerContext* context,
                                 const v1::RemoveCoordinatorRequest* request,
                                 v1::RemoveCoordinatorResponse* response) override;

 private:
  FrontendCore& core_;
};

// The streams, and the calls that wait; each in a file of its own.
absl::Status Upload(FrontendCore& core, const ServerCall& call,
                    grpc::ServerReader<v1::UploadImageRequest>& reader,
                    v1::UploadImageResponse& response);
absl::Status Register(FrontendCore& core, const ServerCall& call,
                      const v1::RegisterImageRequest& request, v1::RegisterImageResponse& response);
absl::Status Download(FrontendCore& core, const ServerCall& call,
                      const v1::DownloadImageRequest& request,
                      grpc::ServerWriter<v1::DownloadImageResponse>& writer);
absl::Status Watch(FrontendCore& core, const ServerCall& call, const v1::WatchJobRequest& request,
                   grpc::ServerWriter<v1::WatchJobResponse>& writer);
absl::StatusOr<v1::ImageStatistics> FindStatistics(FrontendCore& core, const ServerCall& call,
                                                   const std::string& image_id);

}  // namespace histeq::frontend
