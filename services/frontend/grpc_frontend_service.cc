#include "grpc_frontend_service.h"

#include <map>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_convert.h"
#include "grpc_operation.h"
#include "request_checks.h"
#include "rpc/event_log.h"
#include "rpc/status.h"

namespace histeq::frontend {
namespace {

// Of the answer to ListNodes; a message may have 2 MiB.
constexpr size_t kMaxNodesBytes = 3 << 19;

absl::Status GetUploadOf(FrontendCore& core, const v1::GetUploadRequest& request,
                         v1::GetUploadResponse& response) {
  HISTEQ_RETURN_IF_ERROR(CheckId(request.upload_id(), "upload_id"));
  HISTEQ_ASSIGN_OR_RETURN(const store::UploadRecord upload,
                          core.catalog.GetUpload(request.upload_id()));
  if (upload.finished && !upload.image.has_value()) {
    return base::MakeError(
        absl::StatusCode::kNotFound,
        fmt::format("the image of upload {} was deleted: take a new id to send it again",
                    request.upload_id()),
        {.reason = "IMAGE_NOT_FOUND", .metadata = {{"upload", request.upload_id()}}});
  }
  response.set_finished(upload.finished);
  if (upload.image.has_value()) {
    *response.mutable_image() = ToProto(*upload.image);
    response.set_committed_bytes(upload.image->facts.size_bytes);
  }
  if (upload.job.has_value()) *response.mutable_job() = ToProto(*upload.job, core.nodes);
  if (!upload.finished) {
    HISTEQ_ASSIGN_OR_RETURN(const uint64_t committed, core.blobs.CommittedBytes(upload.blob_key));
    response.set_committed_bytes(committed);
  }
  return absl::OkStatus();
}

absl::Status ListImagesOf(FrontendCore& core, const v1::ListImagesRequest& request,
                          v1::ListImagesResponse& response) {
  HISTEQ_ASSIGN_OR_RETURN(
      const store::Page<store::ImageRecord> page,
      core.catalog.ListImages({request.name()}, request.page_size(), request.page_token()));
  for (const store::ImageRecord& image : page.records) *response.add_images() = ToProto(image);
  response.set_next_page_token(page.next_page_token);
  return absl::OkStatus();
}

absl::Status DeleteImageOf(FrontendCore& core, const ServerCall& call,
                           const std::string& image_id) {
  HISTEQ_RETURN_IF_ERROR(CheckId(image_id, "image_id"));
  HISTEQ_ASSIGN_OR_RETURN(const store::RemovedImages removed, core.catalog.DeleteImage(image_id));
  // The images are gone whatever becomes of their bytes: the sweep removes what is left.
  absl::Status deleted;
  for (const std::string& location : removed.freed_locations) {
    // A registered file stays where it is.
    if (location.rfind("blob:", 0) == 0) deleted.Update(core.blobs.Delete(location));
  }
  const store::ImageRecord& image = removed.images.front();
  rpc::LogEvent(deleted.ok() ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning, "image_deleted",
                {{"image", image.id},
                 {"name", image.name},
                 {"peer", call.peer()},
                 {"bytes", fmt::format("{}", image.facts.size_bytes)},
                 {"derivatives", fmt::format("{}", removed.images.size() - 1)},
                 {"error", std::string(deleted.message())}});
  return absl::OkStatus();
}

absl::StatusOr<store::JobRecord> CreateJobOf(FrontendCore& core, const ServerCall& call,
                                             const v1::CreateJobRequest& request) {
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  HISTEQ_RETURN_IF_ERROR(CheckId(request.request_id(), "request_id"));
  HISTEQ_RETURN_IF_ERROR(CheckId(request.image_id(), "image_id"));
  HISTEQ_ASSIGN_OR_RETURN(RequestedOperation requested, ReadOperation(request.operation()));
  requested.spec.refresh = request.refresh();
  const absl::StatusOr<store::ImageRecord> image = core.catalog.GetImage(request.image_id());
  if (image.ok()) {
    // What an unread image is shows when the job runs.
    if (!image->unread) {
      HISTEQ_RETURN_IF_ERROR(CheckFits(requested, InfoOf(image->facts), core.catalog));
    }
  } else if (!absl::IsNotFound(image.status())) {
    return image.status();
  }
  // Also without the image: the same request may have come before the image was deleted.
  HISTEQ_ASSIGN_OR_RETURN(
      store::JobRecord job,
      core.catalog.CreateJob(request.request_id(), request.image_id(), requested.spec));
  rpc::LogEvent(rpc::LogLevel::kInfo, "job_requested",
                {{"job", job.id},
                 {"image", request.image_id()},
                 {"state", v1::JobState_Name(static_cast<v1::JobState>(job.state))},
                 {"request", request.request_id()},
                 {"peer", call.peer()}});
  return job;
}

absl::Status ListJobsOf(FrontendCore& core, const v1::ListJobsRequest& request,
                        v1::ListJobsResponse& response) {
  store::JobFilter filter;
  filter.image_id = request.image_id();
  if (request.state() != v1::JOB_STATE_UNSPECIFIED) {
    if (!v1::JobState_IsValid(request.state())) {
      return base::MakeError(
          absl::StatusCode::kInvalidArgument,
          fmt::format("there is no job state {}", static_cast<int>(request.state())),
          {.reason = "BAD_PARAMETER",
           .metadata = {{"limit", "0 to 5"},
                        {"actual", std::to_string(static_cast<int>(request.state()))}},
           .field = "state"});
    }
    filter.state = static_cast<store::JobState>(request.state());
  }
  HISTEQ_ASSIGN_OR_RETURN(const store::Page<store::JobRecord> page,
                          core.catalog.ListJobs(filter, request.page_size(), request.page_token()));
  for (const store::JobRecord& job : page.records) {
    v1::Job& proto = *response.add_jobs();
    proto = ToProto(job, core.nodes);
    // Up to 650 KB; GetJob has it.
    LeaveOutHistogram(*proto.mutable_operation());
  }
  response.set_next_page_token(page.next_page_token);
  return absl::OkStatus();
}

absl::StatusOr<store::JobRecord> CancelJobOf(FrontendCore& core, const ServerCall& call,
                                             const v1::CancelJobRequest& request) {
  HISTEQ_RETURN_IF_ERROR(CheckId(request.job_id(), "job_id"));
  const bool one = !request.request_id().empty();
  if (one) HISTEQ_RETURN_IF_ERROR(CheckId(request.request_id(), "request_id"));
  HISTEQ_ASSIGN_OR_RETURN(store::JobRecord job,
                          one ? core.catalog.TakeBackRequest(request.job_id(), request.request_id())
                              : core.catalog.CancelJob(request.job_id()));
  const bool queued = job.state == store::JobState::kCancelled;
  if (queued || job.cancel_requested) {
    rpc::LogEvent(rpc::LogLevel::kInfo, queued ? "job_cancelled" : "job_cancel_requested",
                  {{"job", job.id},
                   {"image", job.image_id},
                   {"coordinator", job.coordinator},
                   {"peer", call.peer()}});
  }
  return job;
}

absl::Status ListNodesOf(FrontendCore& core, v1::ListNodesResponse& response) {
  HISTEQ_ASSIGN_OR_RETURN(const store::QueueCounts counts, core.catalog.CountJobs());
  response.set_jobs_queued(counts.queued);
  response.set_jobs_running(counts.running);
  std::map<std::string, v1::CoordinatorInfo> nodes;
  for (const NodeRegistry::Node& node : core.nodes.Nodes()) {
    nodes[node.report.name] = ToProto(node);
  }
  for (const store::CoordinatorRecord& coordinator : core.catalog.ListCoordinators()) {
    v1::CoordinatorInfo& info = nodes[coordinator.name];
    info.set_name(coordinator.name);
    info.set_registered(true);
    // What it says itself is newer.
    if (info.address().empty()) info.set_address(coordinator.address);
  }
  size_t bytes = 0;
  for (const auto& [name, info] : nodes) bytes += info.ByteSizeLong();
  uint32_t omitted = 0;
  for (const bool alive : {false, true}) {
    for (auto it = nodes.rbegin(); it != nodes.rend() && bytes > kMaxNodesBytes; ++it) {
      v1::CoordinatorInfo& info = it->second;
      if (info.alive() != alive) continue;
      bytes -= info.ByteSizeLong();
      omitted += static_cast<uint32_t>(info.workers_size());
      info.clear_workers();
      bytes += info.ByteSizeLong();
    }
  }
  response.set_workers_omitted(omitted);
  for (auto& [name, info] : nodes) *response.add_coordinators() = std::move(info);
  return absl::OkStatus();
}

}  // namespace

grpc::Status GrpcFrontendService::UploadImage(grpc::ServerContext* context,
                                              grpc::ServerReader<v1::UploadImageRequest>* reader,
                                              v1::UploadImageResponse* response) {
  const ServerCall call(*context);
  return rpc::ToGrpc(Upload(core_, call, *reader, *response));
}

grpc::Status GrpcFrontendService::GetUpload(grpc::ServerContext*,
                                            const v1::GetUploadRequest* request,
                                            v1::GetUploadResponse* response) {
  return rpc::ToGrpc(GetUploadOf(core_, *request, *response));
}

grpc::Status GrpcFrontendService::RegisterImage(grpc::ServerContext* context,
                                                const v1::RegisterImageRequest* request,
                                                v1::RegisterImageResponse* response) {
  const ServerCall call(*context);
  return rpc::ToGrpc(Register(core_, call, *request, *response));
}

grpc::Status GrpcFrontendService::GetImage(grpc::ServerContext*, const v1::GetImageRequest* request,
                                           v1::GetImageResponse* response) {
  if (absl::Status status = CheckId(request->image_id(), "image_id"); !status.ok()) {
    return rpc::ToGrpc(status);
  }
  const absl::StatusOr<store::ImageDescription> description =
      core_.catalog.DescribeImage(request->image_id());
  if (description.ok()) *response = ToProto(*description, core_.nodes);
  return rpc::ToGrpc(description.status());
}

grpc::Status GrpcFrontendService::ListImages(grpc::ServerContext*,
                                             const v1::ListImagesRequest* request,
                                             v1::ListImagesResponse* response) {
  return rpc::ToGrpc(ListImagesOf(core_, *request, *response));
}

grpc::Status GrpcFrontendService::DeleteImage(grpc::ServerContext* context,
                                              const v1::DeleteImageRequest* request,
                                              v1::DeleteImageResponse*) {
  const ServerCall call(*context);
  return rpc::ToGrpc(DeleteImageOf(core_, call, request->image_id()));
}

grpc::Status GrpcFrontendService::DownloadImage(
    grpc::ServerContext* context, const v1::DownloadImageRequest* request,
    grpc::ServerWriter<v1::DownloadImageResponse>* writer) {
  const ServerCall call(*context);
  return rpc::ToGrpc(Download(core_, call, *request, *writer));
}

grpc::Status GrpcFrontendService::GetHistogram(grpc::ServerContext* context,
                                               const v1::GetHistogramRequest* request,
                                               v1::GetHistogramResponse* response) {
  const ServerCall call(*context);
  absl::StatusOr<v1::ImageStatistics> statistics = FindStatistics(core_, call, request->image_id());
  if (statistics.ok()) *response->mutable_statistics() = *std::move(statistics);
  return rpc::ToGrpc(statistics.status());
}

grpc::Status GrpcFrontendService::CreateJob(grpc::ServerContext* context,
                                            const v1::CreateJobRequest* request,
                                            v1::CreateJobResponse* response) {
  const ServerCall call(*context);
  const absl::StatusOr<store::JobRecord> job = CreateJobOf(core_, call, *request);
  if (job.ok()) *response->mutable_job() = ToProto(*job, core_.nodes);
  return rpc::ToGrpc(job.status());
}

grpc::Status GrpcFrontendService::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                         v1::GetJobResponse* response) {
  if (absl::Status status = CheckId(request->job_id(), "job_id"); !status.ok()) {
    return rpc::ToGrpc(status);
  }
  const absl::StatusOr<store::JobRecord> job = core_.catalog.GetJob(request->job_id());
  if (job.ok()) *response->mutable_job() = ToProto(*job, core_.nodes);
  return rpc::ToGrpc(job.status());
}

grpc::Status GrpcFrontendService::ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                                           v1::ListJobsResponse* response) {
  return rpc::ToGrpc(ListJobsOf(core_, *request, *response));
}

grpc::Status GrpcFrontendService::CancelJob(grpc::ServerContext* context,
                                            const v1::CancelJobRequest* request,
                                            v1::CancelJobResponse* response) {
  const ServerCall call(*context);
  const absl::StatusOr<store::JobRecord> job = CancelJobOf(core_, call, *request);
  if (job.ok()) *response->mutable_job() = ToProto(*job, core_.nodes);
  return rpc::ToGrpc(job.status());
}

grpc::Status GrpcFrontendService::WatchJob(grpc::ServerContext* context,
                                           const v1::WatchJobRequest* request,
                                           grpc::ServerWriter<v1::WatchJobResponse>* writer) {
  const ServerCall call(*context);
  return rpc::ToGrpc(Watch(core_, call, *request, *writer));
}

grpc::Status GrpcFrontendService::ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*,
                                            v1::ListNodesResponse* response) {
  return rpc::ToGrpc(ListNodesOf(core_, *response));
}

grpc::Status GrpcFrontendService::RegisterCoordinator(grpc::ServerContext* context,
                                                      const v1::RegisterCoordinatorRequest* request,
                                                      v1::RegisterCoordinatorResponse*) {
  absl::Status status = CheckCoordinatorName(request->name(), "name");
  if (status.ok()) status = CheckAddress(request->address(), "address");
  if (status.ok())
    status = core_.catalog.RegisterCoordinator({request->name(), request->address()});
  if (status.ok()) {
    rpc::LogEvent(rpc::LogLevel::kInfo, "coordinator_registered",
                  {{"coordinator", request->name()},
                   {"address", request->address()},
                   {"peer", context->peer()}});
  }
  return rpc::ToGrpc(status);
}

grpc::Status GrpcFrontendService::RemoveCoordinator(grpc::ServerContext* context,
                                                    const v1::RemoveCoordinatorRequest* request,
                                                    v1::RemoveCoordinatorResponse*) {
  absl::Status status = CheckCoordinatorName(request->name(), "name");
  if (status.ok()) status = core_.catalog.RemoveCoordinator(request->name());
  if (status.ok()) {
    rpc::LogEvent(rpc::LogLevel::kInfo, "coordinator_removed",
                  {{"coordinator", request->name()}, {"peer", context->peer()}});
  }
  return rpc::ToGrpc(status);
}

}  // namespace histeq::frontend
