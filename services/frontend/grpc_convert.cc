#include "grpc_convert.h"

#include <algorithm>

#include "request_checks.h"
#include "rpc/proto_convert.h"
#include "store/location.h"

namespace histeq::frontend {
namespace {

constexpr size_t kMaxReasonBytes = 64;
constexpr size_t kMaxMessageBytes = 2048;
constexpr size_t kMaxMetadata = 16;
constexpr size_t kMaxMetadataBytes = 256;
constexpr size_t kMaxStorages = 64;
// Of GetImageResponse; a message has at most 2 MiB.
constexpr size_t kMaxDescriptionBytes = 1 << 20;

// Names that are none are left out: nothing can be registered there.
std::vector<std::string> StoragesFromProto(
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<std::string> storages;
  for (const std::string& name : names) {
    if (storages.size() < kMaxStorages && store::IsStorageName(name)) storages.push_back(name);
  }
  return storages;
}

std::string WaitingFor(const store::JobRecord& job, const NodeRegistry& nodes) {
  if (job.state != store::JobState::kQueued) return {};
  if (job.blocked) return "another job, which makes a part of it or reads its image's file";
  if (!job.storage.empty() && !nodes.HasStorage(job.storage)) {
    return "storage " + job.storage + ": no live coordinator or worker has it";
  }
  if (!nodes.AnyAlive()) return "a coordinator: none is attached";
  if (job.not_before.has_value()) {
    return "its next attempt, not before " +
           absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", *job.not_before, absl::UTCTimeZone());
  }
  return {};
}

}  // namespace

v1::Image ToProto(const store::ImageRecord& image) {
  v1::Image proto;
  proto.set_id(image.id);
  proto.set_name(image.name);
  proto.set_location(image.facts.location);
  proto.set_size_bytes(image.facts.size_bytes);
  proto.set_unread(image.unread);
  if (!image.unread) {
    proto.set_sha256(store::ToBytes(image.facts.sha256));
    proto.set_format(static_cast<v1::ImageFormat>(image.facts.format));
    proto.set_width(image.facts.width);
    proto.set_height(image.facts.height);
    proto.set_channels(image.facts.channels);
    proto.set_bits_per_sample(image.facts.bits_per_sample);
  }
  if (image.modify_time.has_value())
    *proto.mutable_modify_time() = rpc::ToProto(*image.modify_time);
  *proto.mutable_create_time() = rpc::ToProto(image.create_time);
  proto.set_tag(image.tag);
  proto.set_source_image_id(image.source_image_id);
  proto.set_source_job_id(image.source_job_id);
  if (image.expire_time.has_value())
    *proto.mutable_expire_time() = rpc::ToProto(*image.expire_time);
  return proto;
}

v1::Job ToProto(const store::JobRecord& job, const NodeRegistry& nodes) {
  v1::Job proto;
  proto.set_id(job.id);
  proto.set_image_id(job.image_id);
  proto.set_image_name(job.image_name);
  proto.mutable_operation()->ParseFromString(job.spec.operation);
  proto.set_state(static_cast<v1::JobState>(job.state));
  proto.set_attempts(job.attempts);
  proto.set_max_attempts(job.max_attempts);
  proto.set_epoch(job.epoch);
  proto.set_coordinator(job.coordinator);
  if (job.state == store::JobState::kSucceeded) {
    proto.set_result_image_id(job.result_image_id);
    for (const std::string& id : job.result_image_ids) proto.add_result_image_ids(id);
  }
  if (job.error.has_value()) *proto.mutable_error() = ToProto(*job.error);
  *proto.mutable_progress() = ToProto(job.progress);
  *proto.mutable_create_time() = rpc::ToProto(job.create_time);
  if (job.start_time.has_value()) *proto.mutable_start_time() = rpc::ToProto(*job.start_time);
  if (job.end_time.has_value()) *proto.mutable_end_time() = rpc::ToProto(*job.end_time);
  proto.set_waiting_for(WaitingFor(job, nodes));
  return proto;
}

v1::JobError ToProto(const store::JobError& error) {
  v1::JobError proto;
  proto.set_code(error.code);
  proto.set_reason(error.reason);
  proto.set_message(error.message);
  for (const auto& [key, value] : error.metadata) (*proto.mutable_metadata())[key] = value;
  return proto;
}

void LeaveOutHistogram(v1::Operation& operation) {
  if (operation.has_equalize()) operation.mutable_equalize()->clear_reference_histogram();
  if (operation.derive().has_equalize()) {
    operation.mutable_derive()->mutable_equalize()->clear_reference_histogram();
  }
}

v1::GetImageResponse ToProto(const store::ImageDescription& description,
                             const NodeRegistry& nodes) {
  using Response = v1::GetImageResponse;
  Response proto;
  size_t bytes = 0;
  *proto.mutable_image() = ToProto(description.image);
  // What ended last, unless something is under way.
  proto.set_state(Response::STATE_REGISTERED);
  absl::Time last = absl::InfinitePast();
  const auto ended = [&](Response::State state, std::optional<absl::Time> time) {
    if (time.value_or(last) < last) return false;
    last = time.value_or(last);
    proto.set_state(state);
    return true;
  };
  bool queued = false;
  bool running = false;
  const auto look = [&](store::JobState state) {
    queued = queued || state == store::JobState::kQueued;
    running = running || state == store::JobState::kRunning;
  };
  for (const store::DerivativeRecord& derivative : description.derivatives) {
    if (bytes > kMaxDescriptionBytes) {
      proto.set_more_derivatives(true);
      break;
    }
    Response::Derivative& out = *proto.add_derivatives();
    out.mutable_operation()->ParseFromString(derivative.operation);
    LeaveOutHistogram(*out.mutable_operation());
    out.set_job_id(derivative.job_id);
    if (derivative.job.has_value()) out.set_waiting_for(WaitingFor(*derivative.job, nodes));
    look(derivative.state);
    switch (derivative.state) {
      case store::JobState::kQueued:
        out.set_state(Response::STATE_QUEUED);
        break;
      case store::JobState::kRunning:
        out.set_state(Response::STATE_RUNNING);
        break;
      case store::JobState::kSucceeded:
        out.set_state(Response::STATE_DONE);
        *out.mutable_image() = ToProto(*derivative.image);
        if (ended(out.state(), derivative.end_time)) proto.clear_error();
        break;
      default:
        out.set_state(Response::STATE_FAILED);
        if (derivative.error.has_value()) *out.mutable_error() = ToProto(*derivative.error);
        if (ended(out.state(), derivative.end_time)) *proto.mutable_error() = out.error();
    }
    bytes += out.ByteSizeLong();
  }
  if (description.more_derivatives) proto.set_more_derivatives(true);
  if (description.inspection.has_value()) {
    const store::JobRecord& inspection = *description.inspection;
    look(inspection.state);
    if (inspection.state == store::JobState::kFailed &&
        ended(Response::STATE_FAILED, inspection.end_time) && inspection.error.has_value()) {
      *proto.mutable_error() = ToProto(*inspection.error);
    }
  }
  if (queued) proto.set_state(Response::STATE_QUEUED);
  if (running) proto.set_state(Response::STATE_RUNNING);
  if (queued || running) proto.clear_error();
  if (proto.state() != Response::STATE_QUEUED) return proto;
  // What the file's reading waits for says more than that the others wait for it.
  if (description.inspection.has_value()) {
    proto.set_waiting_for(WaitingFor(*description.inspection, nodes));
    return proto;
  }
  for (const Response::Derivative& derivative : proto.derivatives()) {
    if (proto.waiting_for().empty()) proto.set_waiting_for(derivative.waiting_for());
  }
  return proto;
}

v1::JobProgress ToProto(const store::JobProgress& progress) {
  v1::JobProgress proto;
  proto.set_stage(static_cast<v1::JobStage>(progress.stage));
  proto.set_segments_done(progress.segments_done);
  proto.set_segments_total(progress.segments_total);
  proto.set_workers(progress.workers);
  return proto;
}

store::JobProgress FromProto(const v1::JobProgress& progress) {
  store::JobProgress record;
  if (v1::JobStage_IsValid(progress.stage())) {
    record.stage = static_cast<store::JobStage>(progress.stage());
  }
  record.segments_done = progress.segments_done();
  record.segments_total = progress.segments_total();
  record.workers = progress.workers();
  return record;
}

store::JobError FromProto(const v1::JobError& error) {
  store::JobError record;
  // OK would be no error.
  record.code = error.code() > 0 && error.code() <= 16 ? error.code() : 2;
  record.reason = CutText(error.reason(), kMaxReasonBytes);
  record.message = CutText(error.message(), kMaxMessageBytes);
  for (const auto& [key, value] : error.metadata()) {
    if (record.metadata.size() == kMaxMetadata) break;
    record.metadata[CutText(key, kMaxReasonBytes)] = CutText(value, kMaxMetadataBytes);
  }
  return record;
}

v1::CoordinatorInfo ToProto(const NodeRegistry::Node& node) {
  v1::CoordinatorInfo proto;
  const NodeReport& report = node.report;
  proto.set_name(report.name);
  proto.set_address(report.address);
  proto.set_job_slots(report.job_slots);
  proto.set_jobs_running(report.jobs_running);
  *proto.mutable_last_heartbeat_time() = rpc::ToProto(node.last_heartbeat);
  proto.set_alive(node.alive);
  proto.set_draining(report.draining);
  proto.set_simd_target(report.simd_target);
  proto.set_version(report.version);
  for (const std::string& storage : report.storages) proto.add_storages(storage);
  for (const WorkerReport& worker : report.workers) {
    v1::WorkerInfo& info = *proto.add_workers();
    info.set_name(worker.name);
    info.set_address(worker.address);
    info.set_slots(worker.slots);
    info.set_free_slots(worker.free_slots);
    info.set_memory_bytes(worker.memory_bytes);
    info.set_free_memory_bytes(worker.free_memory_bytes);
    info.set_segments_done(worker.segments_done);
    info.set_simd_target(worker.simd_target);
    info.set_version(worker.version);
    info.set_draining(worker.draining);
    for (const std::string& storage : worker.storages) info.add_storages(storage);
    if (worker.last_heartbeat.has_value()) {
      *info.mutable_last_heartbeat_time() = rpc::ToProto(*worker.last_heartbeat);
    }
  }
  return proto;
}

NodeReport FromProto(const v1::CoordinatorInfo& info) {
  NodeReport report;
  report.name = info.name();
  report.address = CutText(info.address(), kMaxMetadataBytes);
  report.job_slots = info.job_slots();
  report.jobs_running = info.jobs_running();
  report.simd_target = CutText(info.simd_target(), kMaxReasonBytes);
  report.version = CutText(info.version(), kMaxReasonBytes);
  report.draining = info.draining();
  report.storages = StoragesFromProto(info.storages());
  for (const v1::WorkerInfo& worker : info.workers()) {
    WorkerReport& out = report.workers.emplace_back();
    out.name = CutText(worker.name(), kMaxMetadataBytes);
    out.address = CutText(worker.address(), kMaxMetadataBytes);
    out.slots = worker.slots();
    out.free_slots = worker.free_slots();
    out.memory_bytes = worker.memory_bytes();
    out.free_memory_bytes = worker.free_memory_bytes();
    out.segments_done = worker.segments_done();
    out.simd_target = CutText(worker.simd_target(), kMaxReasonBytes);
    out.version = CutText(worker.version(), kMaxReasonBytes);
    out.draining = worker.draining();
    out.storages = StoragesFromProto(worker.storages());
    if (worker.has_last_heartbeat_time()) {
      out.last_heartbeat = rpc::FromProto(worker.last_heartbeat_time());
    }
  }
  return report;
}

}  // namespace histeq::frontend
