#include "grpc_job_queue.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/chunk.h"
#include "rpc/guarded_call.h"
#include "rpc/operation_convert.h"
#include "rpc/proto_convert.h"
#include "rpc/status.h"
#include "store/location.h"
#include "store/sha256.h"

namespace histeq::coordinator {
namespace {

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Of an image that lies at a node.
std::optional<NodeFile> FileOf(const v1::Image& image) {
  const absl::StatusOr<store::Location> location = store::ParseLocation(image.location());
  if (!location.ok() || location->kind != store::Location::Kind::kNode) return std::nullopt;
  NodeFile file;
  file.location = image.location();
  file.storage = location->node;
  file.path = location->path;
  if (!image.unread()) {
    file.size_bytes = image.size_bytes();
    file.sha256 = image.sha256();
    if (image.has_modify_time()) file.modify_time = rpc::FromProto(image.modify_time());
  }
  return file;
}

// The chunks of one ReadSource call as bytes.
class SourceStream final : public base::ByteSource {
 public:
  SourceStream(v1::JobQueue::StubInterface& stub, base::Watchdog& watchdog,
               absl::Duration stall_timeout, const v1::ReadSourceRequest& request,
               const base::CancelToken& token)
      : call_(watchdog, stall_timeout, token),
        offset_(request.offset()),
        reader_(stub.ReadSource(&call_.context(), request)) {}

  ~SourceStream() override {
    if (finished_) return;
    call_.Cancel();
    reader_->Finish();
  }

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    while (at_ == response_.chunk().data().size()) {
      if (finished_) return 0;
      call_.Begin();
      const bool more = reader_->Read(&response_);
      if (!more) {
        response_.Clear();
        at_ = 0;
        finished_ = true;
        HISTEQ_RETURN_IF_ERROR(call_.Result(reader_->Finish()));
        return 0;
      }
      call_.Pause();
      at_ = 0;
      HISTEQ_RETURN_IF_ERROR(Check(response_.chunk()));
    }
    const std::string& data = response_.chunk().data();
    const size_t length = std::min(buffer.size(), data.size() - at_);
    std::memcpy(buffer.data(), data.data() + at_, length);
    at_ += length;
    return length;
  }

 private:
  absl::Status Check(const v1::Chunk& chunk) {
    if (chunk.offset() != offset_) {
      return absl::DataLossError(
          fmt::format("a chunk begins at {} instead of {}", chunk.offset(), offset_));
    }
    if (chunk.has_crc32c() && chunk.crc32c() != base::Crc32c(AsBytes(chunk.data()))) {
      return absl::DataLossError(fmt::format("the checksum of the chunk at {} differs", offset_));
    }
    offset_ += chunk.data().size();
    return absl::OkStatus();
  }

  rpc::GuardedCall call_;
  uint64_t offset_;
  const std::unique_ptr<grpc::ClientReaderInterface<v1::ReadSourceResponse>> reader_;
  v1::ReadSourceResponse response_;
  size_t at_ = 0;
  bool finished_ = false;
};

}  // namespace

GrpcJobQueue::GrpcJobQueue(std::shared_ptr<grpc::Channel> channel, base::Watchdog& watchdog,
                           Options options)
    : watchdog_(watchdog),
      options_(std::move(options)),
      stub_(v1::JobQueue::NewStub(std::move(channel))) {}

absl::StatusOr<std::optional<LeaseGrant>> GrpcJobQueue::Lease(absl::Duration wait,
                                                              const base::CancelToken& token) {
  rpc::GuardedCall call(watchdog_, wait + options_.stall_timeout, token);
  v1::LeaseJobRequest request;
  request.set_coordinator(options_.coordinator);
  *request.mutable_wait() = rpc::ToProto(wait);
  request.set_max_inline_source_bytes(rpc::kMaxChunkBytes);
  v1::LeaseJobResponse response;
  HISTEQ_RETURN_IF_ERROR(call.Result(stub_->LeaseJob(&call.context(), request, &response)));
  if (!response.has_lease()) return std::nullopt;
  v1::LeaseJobResponse::Lease& lease = *response.mutable_lease();
  LeaseGrant grant;
  grant.key = {lease.job_id(), lease.epoch()};
  grant.ttl = rpc::FromProto(lease.ttl());
  if (grant.ttl <= absl::ZeroDuration()) grant.ttl = absl::Seconds(30);
  grant.attempt = lease.attempt();
  grant.image_id = lease.image().id();
  grant.image_name = lease.image().name();
  grant.image_bytes = lease.image().size_bytes();
  grant.image_sha256 = lease.image().sha256();
  grant.image_file = FileOf(lease.image());
  // One that cannot be right is read again.
  if (lease.has_source() && !grant.image_file.has_value() &&
      lease.source().data().size() == grant.image_bytes &&
      rpc::CheckChunk(lease.source(), 0).ok()) {
    grant.image_source = std::move(*lease.mutable_source()->mutable_data());
  }
  grant.operation = rpc::OperationFromProto(lease.operation());
  if (lease.has_reference() || lease.has_reference_statistics()) {
    // Not emplace: to clang 14 a nested class with initializers cannot be constructed from nothing.
    grant.reference = LeaseGrant::Reference{};
    LeaseGrant::Reference& reference = *grant.reference;
    reference.image_id = lease.reference().id();
    reference.bytes = lease.reference().size_bytes();
    reference.sha256 = lease.reference().sha256();
    reference.file = FileOf(lease.reference());
    if (lease.has_reference_statistics()) {
      reference.statistics = rpc::FromProto(lease.reference_statistics());
    }
  }
  return grant;
}

absl::StatusOr<std::unique_ptr<base::ByteSource>> GrpcJobQueue::OpenSource(
    const LeaseKey& key, uint64_t offset, bool reference, const base::CancelToken& token) {
  v1::ReadSourceRequest request;
  request.set_job_id(key.job_id);
  request.set_epoch(key.epoch);
  request.set_offset(offset);
  request.set_reference(reference);
  return std::make_unique<SourceStream>(*stub_, watchdog_, options_.stall_timeout, request, token);
}

absl::Status GrpcJobQueue::Complete(const LeaseKey& key, const ReadResult& read,
                                    const std::vector<uint64_t>& result_bytes,
                                    const engine::ImageStatistics* statistics,
                                    const base::CancelToken& token) {
  rpc::GuardedCall call(watchdog_, options_.stall_timeout, token);
  v1::CompleteJobResponse response;
  // With the header.
  call.context().set_initial_metadata_corked(true);
  const auto writer = stub_->CompleteJob(&call.context(), &response);
  // What is small and all there leaves in one piece.
  const uint64_t known_bytes =
      std::accumulate(result_bytes.begin(), result_bytes.end(), uint64_t{0});
  grpc::WriteOptions part;
  if (statistics != nullptr || (known_bytes > 0 && known_bytes <= options_.chunk_bytes)) {
    part.set_buffer_hint();
  }
  // Once a write fails the call is over, and Finish says why.
  const auto write = [&](const v1::CompleteJobRequest& message, const grpc::WriteOptions& options) {
    call.Begin();
    const bool written = writer->Write(message, options);
    call.Pause();
    return written;
  };
  v1::CompleteJobRequest message;
  message.mutable_header()->set_job_id(key.job_id);
  message.mutable_header()->set_epoch(key.epoch);
  bool open = write(message, part);
  // Sends up to `limit` bytes from `begin` on as one result: fewer when that is their end.
  struct Sent {
    uint64_t size_bytes = 0;
    store::Sha256 digest;
  };
  const auto send = [&](uint64_t begin, uint64_t limit, Sent& sent) -> absl::Status {
    while (open && sent.size_bytes < limit) {
      v1::Chunk& chunk = *message.mutable_chunk();
      std::string& data = *chunk.mutable_data();
      data.resize(std::min<uint64_t>(options_.chunk_bytes, limit - sent.size_bytes));
      size_t filled = 0;
      while (filled < data.size()) {
        HISTEQ_ASSIGN_OR_RETURN(
            const size_t got,
            read(begin + sent.size_bytes + filled,
                 {reinterpret_cast<uint8_t*>(data.data()) + filled, data.size() - filled}));
        if (got == 0) break;
        filled += got;
      }
      if (filled == 0) break;
      data.resize(filled);
      sent.digest.Update(AsBytes(data));
      chunk.set_offset(sent.size_bytes);
      chunk.set_crc32c(base::Crc32c(AsBytes(data)));
      sent.size_bytes += filled;
      open = write(message, part);
    }
    return absl::OkStatus();
  };
  absl::Status status;
  v1::CompleteJobRequest::Finish finish;
  if (statistics != nullptr) {
    *finish.mutable_statistics() = rpc::ToProto(*statistics);
  } else if (result_bytes.size() <= 1) {
    Sent sent;
    status = send(0, result_bytes.empty() ? UINT64_MAX : result_bytes.front(), sent);
    finish.set_size_bytes(sent.size_bytes);
    finish.set_sha256(store::ToBytes(sent.digest.Digest()));
  }
  uint64_t begin = 0;
  for (const uint64_t size : result_bytes) {
    if (result_bytes.size() == 1 || statistics != nullptr) break;
    Sent sent;
    if (status.ok()) status = send(begin, size, sent);
    if (!status.ok() || !open) break;
    v1::CompleteJobRequest::EndOfResult& end = *message.mutable_end_of_result();
    end.set_size_bytes(size);
    end.set_sha256(store::ToBytes(sent.digest.Digest()));
    open = write(message, part);
    begin += size;
  }
  if (!status.ok()) {
    // Without a finish nothing becomes of what was sent.
    call.Cancel();
    writer->Finish();
    return status;
  }
  if (open) {
    *message.mutable_finish() = std::move(finish);
    write(message, grpc::WriteOptions().set_last_message());
  }
  call.Begin(options_.commit_timeout);
  return call.Result(writer->Finish());
}

absl::Status GrpcJobQueue::CompleteInspected(const LeaseKey& key, const engine::InspectedFile& file,
                                             const base::CancelToken& token) {
  rpc::GuardedCall call(watchdog_, options_.stall_timeout, token);
  v1::CompleteJobResponse response;
  const auto writer = stub_->CompleteJob(&call.context(), &response);
  v1::CompleteJobRequest message;
  message.mutable_header()->set_job_id(key.job_id);
  message.mutable_header()->set_epoch(key.epoch);
  if (writer->Write(message)) {
    *message.mutable_finish()->mutable_inspected() = rpc::ToProto(file);
    if (writer->Write(message)) writer->WritesDone();
  }
  call.Begin(options_.commit_timeout);
  return call.Result(writer->Finish());
}

absl::Status GrpcJobQueue::Fail(const LeaseKey& key, Outcome outcome, const absl::Status& why,
                                const base::CancelToken& token) {
  rpc::GuardedCall call(watchdog_, options_.stall_timeout, token);
  v1::FailJobRequest request;
  request.set_job_id(key.job_id);
  request.set_epoch(key.epoch);
  request.set_outcome(static_cast<v1::FailJobRequest::Outcome>(outcome));
  v1::JobError& error = *request.mutable_error();
  error.set_code(static_cast<int32_t>(why.code()));
  error.set_message(std::string(why.message()));
  if (const auto detail = base::GetErrorDetail(why)) {
    error.set_reason(detail->reason);
    for (const auto& [name, value] : detail->metadata) (*error.mutable_metadata())[name] = value;
  }
  v1::FailJobResponse response;
  return call.Result(stub_->FailJob(&call.context(), request, &response));
}

}  // namespace histeq::coordinator
