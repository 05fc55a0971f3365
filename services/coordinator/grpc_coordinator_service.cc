#include "grpc_coordinator_service.h"

#include <memory>
#include <utility>

#include "base/error.h"
#include "fmt/format.h"
#include "rpc/event_log.h"
#include "rpc/proto_convert.h"
#include "rpc/status.h"

namespace histeq::coordinator {
namespace {

WorkerReport ReportFromProto(const v1::WorkerInfo& info) {
  WorkerReport report;
  report.name = info.name();
  report.address = info.address();
  report.slots = info.slots();
  report.free_slots = info.free_slots();
  report.memory_bytes = info.memory_bytes();
  report.free_memory_bytes = info.free_memory_bytes();
  report.simd_target = info.simd_target();
  report.version = info.version();
  report.draining = info.draining();
  report.storages.assign(info.storages().begin(), info.storages().end());
  return report;
}

// A call that may be ended from another thread, also after it has returned.
class Endable {
 public:
  explicit Endable(grpc::ServerContext& context) : context_(&context) {}
  void End() {
    std::lock_guard lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  void Returned() {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

 private:
  std::mutex mutex_;
  grpc::ServerContext* context_;
};

}  // namespace

GrpcCoordinatorService::GrpcCoordinatorService(WorkerRegistry& registry, LeaseTable& table,
                                               base::Watchdog& watchdog,
                                               std::function<v1::CoordinatorInfo()> describe,
                                               Options options)
    : registry_(registry),
      table_(table),
      watchdog_(watchdog),
      describe_(std::move(describe)),
      options_(std::move(options)) {}

grpc::Status GrpcCoordinatorService::Heartbeat(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::CoordinatorHeartbeatResponse, v1::CoordinatorHeartbeatRequest>*
        stream) {
  const auto endable = std::make_shared<Endable>(*context);
  const std::shared_ptr<void> at_return(nullptr, [endable](void*) { endable->Returned(); });
  auto alarm = watchdog_.ArmAfter(options_.first_report_timeout, [endable] { endable->End(); });
  v1::CoordinatorHeartbeatRequest request;
  if (!stream->Read(&request)) {
    return rpc::ToGrpc(base::MakeError(
        absl::StatusCode::kInvalidArgument, "the stream ended before its first report",
        {.reason = "BAD_WORKER", .metadata = {}, .field = "worker", .retry_after = {}}));
  }
  alarm.reset();
  const WorkerReport first = ReportFromProto(request.worker());
  auto session = registry_.Attach(first, [endable] { endable->End(); });
  if (!session.ok()) {
    const auto detail = base::GetErrorDetail(session.status());
    rpc::LogEvent(rpc::LogLevel::kWarning, "worker_refused",
                  {{"worker", first.name},
                   {"address", first.address},
                   {"peer", context->peer()},
                   {"reason", detail ? detail->reason : std::string()},
                   {"error", std::string(session.status().message())}});
    return rpc::ToGrpc(session.status());
  }
  rpc::LogEvent(rpc::LogLevel::kInfo, "worker_attached",
                {{"worker", first.name},
                 {"address", first.address},
                 {"peer", context->peer()},
                 {"slots", fmt::format("{}", first.slots)},
                 {"simd", first.simd_target},
                 {"version", first.version}});
  absl::Status status;
  const char* why = "the stream ended";
  v1::CoordinatorHeartbeatResponse response;
  response.set_coordinator(options_.name);
  *response.mutable_interval() = rpc::ToProto(options_.worker_interval);
  while (true) {
    response.set_draining(registry_.draining());
    if (!stream->Write(response) || !stream->Read(&request)) break;
    status = (*session)->Update(ReportFromProto(request.worker()));
    if (!status.ok()) {
      why = "a report was refused";
      break;
    }
  }
  if (context->IsCancelled()) why = "the stream broke, or was silent for too long";
  rpc::LogEvent(rpc::LogLevel::kInfo, "worker_detached",
                {{"worker", first.name},
                 {"address", first.address},
                 {"why", why},
                 {"error", std::string(status.message())}});
  return rpc::ToGrpc(status);
}

grpc::Status GrpcCoordinatorService::GetStatus(grpc::ServerContext*,
                                               const v1::CoordinatorGetStatusRequest*,
                                               v1::CoordinatorGetStatusResponse* response) {
  *response->mutable_coordinator() = describe_();
  for (const LeaseTable::Snapshot& held : table_.Held()) {
    v1::CoordinatorGetStatusResponse::RunningJob& job = *response->add_jobs();
    job.set_job_id(held.key.job_id);
    job.set_epoch(held.key.epoch);
    job.set_image_name(held.image_name);
    v1::JobProgress& progress = *job.mutable_progress();
    progress.set_stage(static_cast<v1::JobStage>(held.progress.stage));
    progress.set_segments_done(held.progress.segments_done);
    progress.set_segments_total(held.progress.segments_total);
    progress.set_workers(held.progress.workers);
    *job.mutable_start_time() = rpc::ToProto(held.start_time);
  }
  return grpc::Status::OK;
}

}  // namespace histeq::coordinator
