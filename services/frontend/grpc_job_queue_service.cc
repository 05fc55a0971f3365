#include "grpc_job_queue_service.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_blob_stream.h"
#include "grpc_convert.h"
#include "grpc_operation.h"
#include "maintenance.h"
#include "request_checks.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/proto_convert.h"
#include "rpc/status.h"

namespace histeq::frontend {
namespace {

constexpr absl::Duration kLongestLeaseWait = absl::Seconds(60);
// LeaseNext is a transaction; without a sign of work it is tried this often.
constexpr absl::Duration kLeasePoll = absl::Seconds(5);
// As many as a coordinator may have.
constexpr int kMaxReportedWorkers = 256;

absl::Status CheckWorkers(const v1::CoordinatorInfo& report) {
  if (report.workers_size() <= kMaxReportedWorkers) return absl::OkStatus();
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("a coordinator reports at most {} workers, this one {}",
                                     kMaxReportedWorkers, report.workers_size()),
                         {.reason = "BAD_PARAMETER",
                          .metadata = {{"limit", std::to_string(kMaxReportedWorkers)},
                                       {"actual", std::to_string(report.workers_size())}},
                          .field = "coordinator.workers"});
}

absl::Status CheckCoordinator(const store::Catalog& catalog, const std::string& name,
                              const std::string& field) {
  HISTEQ_RETURN_IF_ERROR(CheckCoordinatorName(name, field));
  return CheckAllowed(catalog, name);
}

void Describe(const store::Lease& lease, v1::LeaseJobResponse::Lease& proto) {
  proto.set_job_id(lease.job.id);
  proto.set_epoch(lease.job.epoch);
  *proto.mutable_ttl() = rpc::ToProto(lease.ttl);
  proto.set_attempt(lease.job.attempts);
  // Whoever inspects takes the file as it is; others the one that was read.
  store::ImageRecord image = lease.image;
  image.unread = lease.job.spec.inspects;
  *proto.mutable_image() = ToProto(image);
  *proto.mutable_operation() = OperationOf(lease);
  if (lease.reference.has_value()) *proto.mutable_reference() = ToProto(*lease.reference);
  if (lease.reference_statistics.has_value() &&
      !proto.mutable_reference_statistics()->ParseFromString(*lease.reference_statistics)) {
    // The coordinator counts the reference itself.
    proto.clear_reference_statistics();
  }
}

// Puts a small source into the answer, so that the coordinator need not ask for it. Without it the
// coordinator reads the source, and is told why it cannot be read. Not a transfer that waits for
// its turn: the lease runs already, and those who take leases are limited themselves.
void AttachSource(FrontendCore& core, const store::Lease& lease, uint64_t limit,
                  v1::LeaseJobResponse::Lease& proto) {
  const uint64_t size_bytes = lease.image.facts.size_bytes;
  limit = std::min({limit, core.options.max_inline_source_bytes, uint64_t{rpc::kMaxChunkBytes}});
  // Files that lie elsewhere may be slow to open.
  const bool here = lease.image.facts.location.starts_with("blob:");
  if (!here || lease.job.spec.inspects || size_bytes == 0 || size_bytes > limit) return;
  absl::StatusOr<store::BlobReader> reader = OpenImage(core, lease.image, 0, 0);
  if (!reader.ok() || reader->size_bytes != size_bytes) return;
  v1::Chunk& chunk = *proto.mutable_source();
  std::string& data = *chunk.mutable_data();
  data.resize(size_bytes);
  for (size_t filled = 0; filled < data.size();) {
    const absl::StatusOr<size_t> got = reader->source->Read(
        {reinterpret_cast<uint8_t*>(data.data()) + filled, data.size() - filled});
    if (!got.ok() || *got == 0) return proto.clear_source();
    filled += *got;
  }
  rpc::SealChunk(0, chunk);
}

absl::Status LeaseOne(FrontendCore& core, const ServerCall& call,
                      const v1::LeaseJobRequest& request, v1::LeaseJobResponse& response) {
  HISTEQ_RETURN_IF_ERROR(CheckCoordinator(core.catalog, request.coordinator(), "coordinator"));
  HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                          core.lease_waiters.Enter([&] { return call.cancelled(); }));
  const absl::Duration wait =
      std::clamp(request.has_wait() ? rpc::FromProto(request.wait()) : absl::ZeroDuration(),
                 absl::ZeroDuration(), kLongestLeaseWait);
  const absl::Duration end = core.clock.Monotonic() + wait;
  while (true) {
    HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
    if (call.cancelled()) return absl::CancelledError("the coordinator has gone");
    const uint64_t seen = core.catalog.WorkGeneration();
    const uint64_t seen_storages = core.nodes.StorageGeneration();
    HISTEQ_ASSIGN_OR_RETURN(const auto lease,
                            core.catalog.LeaseNext(request.coordinator(), 0,
                                                   core.nodes.StoragesOf(request.coordinator())));
    if (lease.has_value()) {
      if (call.cancelled()) {
        // Nobody would hear of it until it ran out.
        core.catalog
            .Fail(lease->job.id, lease->job.epoch, store::FailOutcome::kHandBack, store::JobError())
            .status()
            .IgnoreError();
        return absl::CancelledError("the coordinator has gone");
      }
      Describe(*lease, *response.mutable_lease());
      AttachSource(core, *lease, request.max_inline_source_bytes(), *response.mutable_lease());
      rpc::LogEvent(rpc::LogLevel::kInfo, "job_leased",
                    {{"job", lease->job.id},
                     {"image", lease->image.id},
                     {"coordinator", request.coordinator()},
                     {"peer", call.peer()},
                     {"epoch", fmt::format("{}", lease->job.epoch)},
                     {"attempt", fmt::format("{}", lease->job.attempts)},
                     {"bytes", fmt::format("{}", lease->image.facts.size_bytes)}});
      return absl::OkStatus();
    }
    const absl::Duration tried_at = core.clock.Monotonic();
    while (core.catalog.WorkGeneration() == seen &&
           core.nodes.StorageGeneration() == seen_storages) {
      const absl::Duration now = core.clock.Monotonic();
      if (now >= end) return absl::OkStatus();
      if (now - tried_at >= kLeasePoll) break;
      if (call.cancelled()) return absl::CancelledError("the coordinator has gone");
      HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
      core.catalog.WaitForWork(seen, std::min(kCancelLook, end - now));
    }
  }
}

absl::Status ReadSourceOf(FrontendCore& core, const ServerCall& call,
                          const v1::ReadSourceRequest& request,
                          grpc::ServerWriter<v1::ReadSourceResponse>& writer) {
  HISTEQ_RETURN_IF_ERROR(CheckId(request.job_id(), "job_id"));
  HISTEQ_ASSIGN_OR_RETURN(const store::Lease lease,
                          core.catalog.GetLease(request.job_id(), request.epoch()));
  HISTEQ_RETURN_IF_ERROR(CheckAllowed(core.catalog, lease.job.coordinator));
  if (request.reference() && !lease.reference.has_value()) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("job {} has no reference image", request.job_id()),
        {.reason = "NO_REFERENCE", .metadata = {{"job", request.job_id()}}, .field = "reference"});
  }
  HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                          core.job_transfers.Enter([&] { return call.cancelled(); }));
  const Activity::Transfer transfer(core.activity);
  const store::ImageRecord& image = request.reference() ? *lease.reference : lease.image;
  absl::StatusOr<store::BlobReader> opened = OpenImage(core, image, request.offset(), 0);
  if (absl::IsPermissionDenied(opened.status())) {
    // Here this code means that the coordinator is refused.
    return base::MakeError(absl::StatusCode::kNotFound, std::string(opened.status().message()),
                           base::GetErrorDetail(opened.status()).value_or(base::ErrorDetail()));
  }
  HISTEQ_ASSIGN_OR_RETURN(store::BlobReader reader, std::move(opened));
  const auto guard =
      core.guards.WatchLease(request.job_id(), request.epoch(), call.ender(), "nothing was taken");
  v1::ReadSourceResponse message;
  return StreamChunks(reader, request.offset(), *message.mutable_chunk(), [&]() -> absl::Status {
    guard->Expect(core.options.download_idle_timeout);
    const bool sent = writer.Write(message);
    guard->Pause();
    if (sent) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(call.WhyBroken());
    return absl::CancelledError("the coordinator has gone");
  });
}

absl::Status FailJobOf(FrontendCore& core, const v1::FailJobRequest& request) {
  HISTEQ_RETURN_IF_ERROR(CheckId(request.job_id(), "job_id"));
  if (request.outcome() == v1::FailJobRequest::OUTCOME_UNSPECIFIED ||
      !v1::FailJobRequest::Outcome_IsValid(request.outcome())) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "a job is given up with one of the outcomes 1 to 4",
        {.reason = "BAD_PARAMETER",
         .metadata = {{"limit", "1 to 4"},
                      {"actual", std::to_string(static_cast<int>(request.outcome()))}},
         .field = "outcome"});
  }
  HISTEQ_ASSIGN_OR_RETURN(const store::JobRecord before, core.catalog.GetJob(request.job_id()));
  const bool current = before.state == store::JobState::kRunning && before.epoch == request.epoch();
  if (current) HISTEQ_RETURN_IF_ERROR(CheckAllowed(core.catalog, before.coordinator));
  HISTEQ_ASSIGN_OR_RETURN(const store::JobRecord job,
                          core.catalog.Fail(request.job_id(), request.epoch(),
                                            static_cast<store::FailOutcome>(request.outcome()),
                                            FromProto(request.error())));
  if (current) {
    LogJobEnd(job, fmt::format("{} gave it up: {}", before.coordinator,
                               v1::FailJobRequest::Outcome_Name(request.outcome())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAllowed(const store::Catalog& catalog, const std::string& coordinator) {
  if (catalog.CoordinatorAllowed(coordinator)) return absl::OkStatus();
  return base::MakeError(
      absl::StatusCode::kPermissionDenied,
      fmt::format("UNKNOWN_COORDINATOR: coordinator {} is not on the list of those that may "
                  "connect; an operator can put it there",
                  coordinator),
      {.reason = "UNKNOWN_COORDINATOR", .metadata = {{"coordinator", coordinator}}});
}

void GrpcJobQueueService::EndHeartbeats() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  for (const auto& end : heartbeats_) end(core_.activity.CheckServing());
}

grpc::Status GrpcJobQueueService::Heartbeat(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) {
  const ServerCall call(*context);
  const auto pass = core_.heartbeats.Enter([&] { return call.cancelled(); });
  if (!pass.ok()) return rpc::ToGrpc(pass.status());
  Enders::iterator ender;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return rpc::ToGrpc(core_.activity.CheckServing());
    ender = heartbeats_.insert(heartbeats_.end(), call.ender());
  }
  const std::shared_ptr<void> at_return(nullptr, [&](void*) {
    std::lock_guard lock(mutex_);
    heartbeats_.erase(ender);
  });
  const auto guard = core_.guards.Watch(call.ender(), "no heartbeat came");
  const auto read = [&](v1::HeartbeatRequest& request) {
    guard->Expect(core_.options.coordinator_gone_after);
    const bool more = stream->Read(&request);
    guard->Pause();
    return more;
  };
  std::string name;
  absl::Status status;
  v1::HeartbeatRequest request;
  while (read(request)) {
    if (name.empty()) name = CutText(request.coordinator().name(), 64);
    status = CheckCoordinator(core_.catalog, request.coordinator().name(), "coordinator.name");
    if (status.ok() && request.coordinator().name() != name) {
      status = base::MakeError(absl::StatusCode::kInvalidArgument,
                               fmt::format("this is the stream of coordinator {}", name),
                               {.reason = "BAD_NAME", .field = "coordinator.name"});
    }
    if (status.ok()) status = CheckWorkers(request.coordinator());
    if (!status.ok()) break;
    if (core_.nodes.Report(FromProto(request.coordinator()))) {
      rpc::LogEvent(rpc::LogLevel::kInfo, "node_attached",
                    {{"coordinator", name},
                     {"address", request.coordinator().address()},
                     {"peer", call.peer()},
                     {"jobs", fmt::format("{}", request.coordinator().job_slots())},
                     {"workers", fmt::format("{}", request.coordinator().workers_size())},
                     {"version", request.coordinator().version()}});
    }
    std::vector<store::HeldLease> held;
    for (const v1::HeldLease& lease : request.leases()) {
      held.push_back({lease.job_id(), lease.epoch(), FromProto(lease.progress())});
    }
    const std::vector<store::LeaseVerdict> verdicts = core_.catalog.Renew(name, held);
    v1::HeartbeatResponse response;
    for (size_t i = 0; i < held.size(); ++i) {
      v1::HeartbeatResponse::LeaseAnswer& answer = *response.add_leases();
      answer.set_job_id(held[i].job_id);
      answer.set_epoch(held[i].epoch);
      answer.set_verdict(static_cast<v1::HeartbeatResponse::LeaseAnswer::Verdict>(verdicts[i]));
    }
    *response.mutable_interval() = rpc::ToProto(core_.options.heartbeat_interval);
    *response.mutable_lease_ttl() = rpc::ToProto(core_.options.catalog.lease_ttl);
    response.set_draining(core_.activity.draining());
    guard->Expect(core_.options.coordinator_gone_after);
    const bool sent = stream->Write(response);
    guard->Pause();
    if (!sent) break;
  }
  if (status.ok()) status = call.WhyBroken();
  const auto detail = base::GetErrorDetail(status);
  rpc::LogEvent(rpc::LogLevel::kInfo, "node_detached",
                {{"coordinator", name},
                 {"peer", call.peer()},
                 {"code", absl::StatusCodeToString(status.code())},
                 {"reason", detail.has_value() ? detail->reason : std::string()},
                 {"error", std::string(status.message())}});
  return rpc::ToGrpc(status);
}

grpc::Status GrpcJobQueueService::LeaseJob(grpc::ServerContext* context,
                                           const v1::LeaseJobRequest* request,
                                           v1::LeaseJobResponse* response) {
  const ServerCall call(*context);
  return rpc::ToGrpc(LeaseOne(core_, call, *request, *response));
}

grpc::Status GrpcJobQueueService::ReadSource(grpc::ServerContext* context,
                                             const v1::ReadSourceRequest* request,
                                             grpc::ServerWriter<v1::ReadSourceResponse>* writer) {
  const ServerCall call(*context);
  const absl::Status status = ReadSourceOf(core_, call, *request, *writer);
  if (!status.ok()) {
    rpc::LogEvent(absl::IsCancelled(status) ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning,
                  "source_ended",
                  {{"job", CutText(request->job_id(), 128)},
                   {"epoch", fmt::format("{}", request->epoch())},
                   {"peer", call.peer()},
                   {"code", absl::StatusCodeToString(status.code())},
                   {"error", std::string(status.message())}});
  }
  return rpc::ToGrpc(status);
}

grpc::Status GrpcJobQueueService::CompleteJob(grpc::ServerContext* context,
                                              grpc::ServerReader<v1::CompleteJobRequest>* reader,
                                              v1::CompleteJobResponse* response) {
  const ServerCall call(*context);
  return rpc::ToGrpc(Complete(core_, call, *reader, *response));
}

grpc::Status GrpcJobQueueService::FailJob(grpc::ServerContext*, const v1::FailJobRequest* request,
                                          v1::FailJobResponse*) {
  return rpc::ToGrpc(FailJobOf(core_, *request));
}

}  // namespace histeq::frontend
