#include "fake_job_queue.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>

#include "base/crc32c.h"
#include "google/protobuf/util/time_util.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "store/sha256.h"

namespace histeq::testing {
namespace {

using google::protobuf::util::TimeUtil;

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  return TimeUtil::MillisecondsToDuration(absl::ToInt64Milliseconds(duration));
}

bool TakeOne(int& count) {
  if (count <= 0) return false;
  --count;
  return true;
}

}  // namespace

std::string Sha256Of(const std::string& bytes) {
  return store::ToBytes(store::Sha256Of(AsBytes(bytes)));
}

void FakeJobQueue::Start() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = false;
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  REQUIRE(server_ != nullptr);
  port_ = port;
}

void FakeJobQueue::Stop() {
  if (server_ == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeJobQueue::AddJob(const std::string& id, const std::string& source,
                          const v1::Operation& operation, const std::string& announced_sha256) {
  std::lock_guard lock(mutex_);
  JobRecord& job = jobs_[id];
  job.id = id;
  job.name = id + "-image";
  job.source = source;
  job.operation = operation;
  job.announced_sha256 = announced_sha256.empty() ? Sha256Of(source) : announced_sha256;
  order_.push_back(id);
  changed_.notify_all();
}

void FakeJobQueue::AddJob(JobRecord job) {
  std::lock_guard lock(mutex_);
  if (job.announced_sha256.empty()) job.announced_sha256 = Sha256Of(job.source);
  order_.push_back(job.id);
  jobs_[job.id] = std::move(job);
  changed_.notify_all();
}

void FakeJobQueue::TakeAway(const std::string& id) {
  std::lock_guard lock(mutex_);
  ++jobs_.at(id).epoch;
  changed_.notify_all();
}

void FakeJobQueue::Change(const std::function<void(Script&)>& change) {
  std::lock_guard lock(mutex_);
  change(script_);
  changed_.notify_all();
}

void FakeJobQueue::SetTimes(absl::Duration interval, absl::Duration ttl) {
  std::lock_guard lock(mutex_);
  interval_ = interval;
  ttl_ = ttl;
}

FakeJobQueue::JobRecord FakeJobQueue::job(const std::string& id) {
  std::lock_guard lock(mutex_);
  return jobs_.at(id);
}

std::vector<v1::HeartbeatRequest> FakeJobQueue::heartbeats() {
  std::lock_guard lock(mutex_);
  return heartbeats_;
}

bool FakeJobQueue::WaitFor(const std::function<bool(FakeJobQueue&)>& done, absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [&] { return done(*this); });
}

bool FakeJobQueue::WaitForState(const std::string& id, v1::JobState state, absl::Duration timeout) {
  return WaitFor([&](FakeJobQueue& self) { return self.record(id).state == state; }, timeout);
}

bool FakeJobQueue::WaitForFailure(const std::string& id, absl::Duration timeout) {
  return WaitFor([&](FakeJobQueue& self) { return !self.record(id).failures.empty(); }, timeout);
}

FakeJobQueue::JobRecord* FakeJobQueue::Current(const std::string& id, uint64_t epoch,
                                               grpc::Status& status) {
  auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    status = {grpc::StatusCode::NOT_FOUND, "no such job"};
    return nullptr;
  }
  if (found->second.epoch != epoch) {
    status = {grpc::StatusCode::FAILED_PRECONDITION, "the epoch is not the current one"};
    return nullptr;
  }
  return &found->second;
}

grpc::Status FakeJobQueue::Heartbeat(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) {
  v1::HeartbeatRequest request;
  while (stream->Read(&request)) {
    v1::HeartbeatResponse response;
    bool mute;
    {
      std::lock_guard lock(mutex_);
      if (!script_.heartbeat_error.ok()) return script_.heartbeat_error;
      heartbeats_.push_back(request);
      mute = script_.mute_heartbeat;
      *response.mutable_interval() = ToProto(interval_);
      *response.mutable_lease_ttl() = ToProto(ttl_);
      for (const v1::HeldLease& lease : request.leases()) {
        v1::HeartbeatResponse::LeaseAnswer& answer = *response.add_leases();
        answer.set_job_id(lease.job_id());
        answer.set_epoch(lease.epoch());
        grpc::Status current;
        JobRecord* job = Current(lease.job_id(), lease.epoch(), current);
        if (job == nullptr) {
          answer.set_verdict(v1::HeartbeatResponse::LeaseAnswer::VERDICT_LOST);
          continue;
        }
        job->progress = lease.progress();
        auto scripted = script_.verdicts.find(lease.job_id());
        answer.set_verdict(scripted == script_.verdicts.end()
                               ? v1::HeartbeatResponse::LeaseAnswer::VERDICT_RENEWED
                               : scripted->second);
      }
      changed_.notify_all();
    }
    if (!mute && !stream->Write(response)) break;
  }
  return grpc::Status::OK;
}

grpc::Status FakeJobQueue::LeaseJob(grpc::ServerContext* context,
                                    const v1::LeaseJobRequest* request,
                                    v1::LeaseJobResponse* response) {
  std::unique_lock lock(mutex_);
  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(request->wait()));
  while (!context->IsCancelled()) {
    if (stopping_) return {grpc::StatusCode::UNAVAILABLE, "stopping"};
    for (const std::string& id : order_) {
      JobRecord& job = jobs_.at(id);
      if (job.state != v1::JOB_STATE_QUEUED) continue;
      job.state = v1::JOB_STATE_RUNNING;
      ++job.epoch;
      v1::LeaseJobResponse::Lease& lease = *response->mutable_lease();
      lease.set_job_id(job.id);
      lease.set_epoch(job.epoch);
      *lease.mutable_ttl() = ToProto(ttl_);
      lease.set_attempt(static_cast<uint32_t>(job.epoch));
      v1::Image& image = *lease.mutable_image();
      image.set_id(job.id + "-source");
      image.set_name(job.name);
      image.set_size_bytes(job.source.size());
      image.set_sha256(job.announced_sha256);
      image.set_location(job.location);
      image.set_unread(job.operation.has_inspect());
      if (image.unread()) image.clear_sha256();
      if (job.modify_time.has_value()) *image.mutable_modify_time() = *job.modify_time;
      *lease.mutable_operation() = job.operation;
      if (script_.inline_source_bytes > 0 &&
          job.source.size() <=
              std::min(script_.inline_source_bytes, request->max_inline_source_bytes())) {
        lease.mutable_source()->set_data(job.source);
        lease.mutable_source()->set_crc32c(base::Crc32c(AsBytes(job.source)));
        if (TakeOne(script_.corrupt_inline_source)) {
          (*lease.mutable_source()->mutable_data())[job.source.size() / 2] ^= 1;
        }
      }
      if (!job.reference.empty()) {
        lease.mutable_reference()->set_id(job.id + "-reference");
        lease.mutable_reference()->set_size_bytes(job.reference.size());
        lease.mutable_reference()->set_sha256(job.announced_reference_sha256.empty()
                                                  ? Sha256Of(job.reference)
                                                  : job.announced_reference_sha256);
      }
      if (job.reference_statistics.has_value()) {
        *lease.mutable_reference_statistics() = *job.reference_statistics;
      }
      changed_.notify_all();
      return grpc::Status::OK;
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
    changed_.wait_until(
        lock, std::min(deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(50)));
  }
  return grpc::Status::OK;
}

grpc::Status FakeJobQueue::ReadSource(grpc::ServerContext* context,
                                      const v1::ReadSourceRequest* request,
                                      grpc::ServerWriter<v1::ReadSourceResponse>* writer) {
  std::string bytes;
  {
    std::lock_guard lock(mutex_);
    grpc::Status status;
    JobRecord* job = Current(request->job_id(), request->epoch(), status);
    if (job == nullptr) return status;
    (request->reference() ? job->reference_offsets : job->source_offsets)
        .push_back(request->offset());
    bytes = request->reference() ? job->reference : job->source;
    changed_.notify_all();
  }
  uint64_t sent = 0;
  for (uint64_t at = request->offset(); at < bytes.size();) {
    uint64_t length = std::min<uint64_t>(16 << 10, bytes.size() - at);
    bool corrupt = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !script_.hold_source || sent == 0 || stopping_; });
      if (stopping_) return {grpc::StatusCode::UNAVAILABLE, "stopping"};
      grpc::Status status;
      if (Current(request->job_id(), request->epoch(), status) == nullptr) return status;
      if (script_.break_source > 0 || script_.end_source_early > 0) {
        if (sent >= script_.break_source_after) {
          if (TakeOne(script_.break_source)) return script_.source_error;
          if (TakeOne(script_.end_source_early)) return grpc::Status::OK;
        }
        length =
            std::min<uint64_t>(length, std::max<uint64_t>(1, script_.break_source_after - sent));
      }
      if (at >= script_.source_damaged_at) return script_.source_error;
      length = std::min(length, script_.source_damaged_at - at);
      corrupt = TakeOne(script_.corrupt_source);
    }
    v1::ReadSourceResponse response;
    v1::Chunk& chunk = *response.mutable_chunk();
    chunk.set_offset(at);
    chunk.set_data(bytes.substr(at, length));
    chunk.set_crc32c(base::Crc32c(AsBytes(chunk.data())));
    if (corrupt) (*chunk.mutable_data())[length / 2] ^= 1;
    if (!writer->Write(response) || context->IsCancelled()) {
      return {grpc::StatusCode::CANCELLED, "the reader left"};
    }
    at += length;
    sent += length;
  }
  return grpc::Status::OK;
}

grpc::Status FakeJobQueue::CompleteJob(grpc::ServerContext* context,
                                       grpc::ServerReader<v1::CompleteJobRequest>* reader,
                                       v1::CompleteJobResponse* response) {
  v1::CompleteJobRequest request;
  if (!reader->Read(&request) || !request.has_header()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "no header"};
  }
  const std::string id = request.header().job_id();
  const uint64_t epoch = request.header().epoch();
  {
    std::unique_lock lock(mutex_);
    grpc::Status status;
    JobRecord* job = Current(id, epoch, status);
    if (job == nullptr) return status;
    ++job->complete_calls;
    changed_.notify_all();
    while (script_.hold_complete && !stopping_ && !context->IsCancelled()) {
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
  }
  std::string bytes;
  std::vector<std::string> results;
  std::optional<v1::CompleteJobRequest::Finish> finish;
  while (reader->Read(&request)) {
    if (request.has_finish()) {
      finish = request.finish();
      continue;
    }
    if (request.has_end_of_result() && !finish.has_value()) {
      const v1::CompleteJobRequest::EndOfResult& end = request.end_of_result();
      if (end.size_bytes() != bytes.size() || end.sha256() != Sha256Of(bytes)) {
        return {grpc::StatusCode::DATA_LOSS, "size or checksum of a result differ"};
      }
      results.push_back(std::move(bytes));
      bytes.clear();
      continue;
    }
    if (!request.has_chunk() || finish.has_value()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "messages out of order"};
    }
    const v1::Chunk& chunk = request.chunk();
    if (chunk.offset() != bytes.size() || !chunk.has_crc32c() ||
        chunk.crc32c() != base::Crc32c(AsBytes(chunk.data())) || chunk.data().size() > (1 << 20)) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "a chunk that does not fit"};
    }
    bytes += chunk.data();
    std::lock_guard lock(mutex_);
    if (script_.break_complete > 0 && bytes.size() >= script_.break_complete_after) {
      --script_.break_complete;
      return script_.complete_error;
    }
  }
  if (!finish.has_value()) return {grpc::StatusCode::CANCELLED, "no finish"};
  std::lock_guard lock(mutex_);
  grpc::Status status;
  JobRecord* job = Current(id, epoch, status);
  if (job == nullptr) return status;
  if (script_.break_complete > 0) {
    --script_.break_complete;
    return script_.complete_error;
  }
  if (finish->size_bytes() != bytes.size() ||
      (!finish->has_statistics() && !finish->has_inspected() && results.empty() &&
       finish->sha256() != Sha256Of(bytes))) {
    return {grpc::StatusCode::DATA_LOSS, "size or checksum differ"};
  }
  if (job->state == v1::JOB_STATE_RUNNING) {
    job->state = v1::JOB_STATE_SUCCEEDED;
    job->result = bytes;
    job->results = results;
    if (finish->has_statistics()) job->statistics = finish->statistics();
    if (finish->has_inspected()) job->inspected = finish->inspected();
    ++job->completions;
  } else if (job->state != v1::JOB_STATE_SUCCEEDED) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "the job is final"};
  }
  changed_.notify_all();
  if (TakeOne(script_.lose_complete_answer)) {
    return {grpc::StatusCode::UNAVAILABLE, "the answer is lost"};
  }
  response->mutable_result()->set_id(id + "-result");
  return grpc::Status::OK;
}

grpc::Status FakeJobQueue::FailJob(grpc::ServerContext*, const v1::FailJobRequest* request,
                                   v1::FailJobResponse*) {
  std::lock_guard lock(mutex_);
  grpc::Status status;
  JobRecord* job = Current(request->job_id(), request->epoch(), status);
  if (job == nullptr) return status;
  if (TakeOne(script_.break_fail)) return {grpc::StatusCode::UNAVAILABLE, "broken by the test"};
  job->failures.push_back(*request);
  switch (request->outcome()) {
    case v1::FailJobRequest::OUTCOME_CANCELLED:
      job->state = v1::JOB_STATE_CANCELLED;
      break;
    case v1::FailJobRequest::OUTCOME_PERMANENT:
      job->state = v1::JOB_STATE_FAILED;
      break;
    default:
      // Not given out again: the test looks at this failure.
      job->state = v1::JOB_STATE_UNSPECIFIED;
  }
  changed_.notify_all();
  return grpc::Status::OK;
}

}  // namespace histeq::testing
