#include "grpc_worker_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "engine/inspect.h"
#include "fmt/format.h"
#include "grpc_worker_service.h"
#include "rpc/chunk.h"
#include "rpc/proto_convert.h"
#include "store/location.h"
#include "store/sha256.h"

namespace histeq::worker {
namespace {

// While a long file is inspected the coordinator hears of it this often.
constexpr absl::Duration kSignOfLife = absl::Seconds(2);
constexpr uint64_t kInspectMemory = 1 << 20;

absl::StatusOr<store::RootedFile> Open(const store::StorageRoots& storage,
                                       const std::string& location,
                                       std::optional<uint64_t> size_bytes,
                                       std::optional<absl::Time> modify_time) {
  HISTEQ_ASSIGN_OR_RETURN(const store::Location where, store::ParseLocation(location));
  if (where.kind != store::Location::Kind::kNode) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "a worker's files are at node://NAME/PATH",
                           {.reason = "BAD_LOCATION", .field = "location"});
  }
  HISTEQ_ASSIGN_OR_RETURN(store::RootedFile file, storage.OpenFile(where.node, where.path));
  store::FileStamp meant = file.stamp();
  if (size_bytes.has_value()) meant.size_bytes = *size_bytes;
  if (modify_time.has_value()) meant.modify_time = *modify_time;
  HISTEQ_RETURN_IF_ERROR(store::CheckSameFile(meant, file.stamp()));
  return file;
}

}  // namespace

absl::StatusOr<store::RootedFile> OpenStored(const store::StorageRoots& storage,
                                             const v1::ProcessImageRequest::Header& header) {
  if (!header.has_modify_time()) {
    return Open(storage, header.location(), std::nullopt, std::nullopt);
  }
  return Open(storage, header.location(), header.size_bytes(),
              rpc::FromProto(header.modify_time()));
}

absl::StatusOr<store::RootedFile> OpenStored(const store::StorageRoots& storage,
                                             const v1::ReadFileRequest& request) {
  std::optional<uint64_t> size_bytes;
  if (request.has_size_bytes()) size_bytes = request.size_bytes();
  std::optional<absl::Time> modify_time;
  if (request.has_modify_time()) modify_time = rpc::FromProto(request.modify_time());
  return Open(storage, request.location(), size_bytes, modify_time);
}

absl::Status ReadWhole(const store::RootedFile& file, const std::string& sha256,
                       std::span<uint8_t> bytes) {
  HISTEQ_ASSIGN_OR_RETURN(const size_t got, file.ReadAt(0, bytes));
  HISTEQ_RETURN_IF_ERROR(file.CheckUnchanged());
  if (got < bytes.size()) return absl::InternalError("the file ended early");
  if (sha256.empty() || store::ToBytes(store::Sha256Of(bytes)) == sha256) return absl::OkStatus();
  return base::MakeError(absl::StatusCode::kDataLoss,
                         "the file has changed since it was registered and read: its SHA-256 "
                         "differs; register it again",
                         {.reason = "SOURCE_CHANGED"});
}

absl::Status TooLargeHere() {
  return base::MakeError(absl::StatusCode::kOutOfRange,
                         "the file is too large to be done whole by a worker: it is read with "
                         "ReadFile and done by segments",
                         {.reason = "TOO_LARGE_HERE"});
}

absl::Status GrpcWorkerService::ProcessInspect(
    ServedCall& call,
    grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>& stream,
    store::RootedFile file, const codec::DecodeLimits& limits, Record& record) {
  HISTEQ_ASSIGN_OR_RETURN(const auto place, slots_.Take(record.work, kInspectMemory));
  const store::FileStamp stamp = file.stamp();
  HISTEQ_ASSIGN_OR_RETURN(const store::BlobReader reader, store::ReadRange(std::move(file), {}));
  v1::ProcessImageResponse busy;
  busy.mutable_chunk();
  absl::Duration told_at = base::SystemClock().Monotonic();
  store::Sha256 digest;
  const auto seen = [&](std::span<const uint8_t> bytes) {
    digest.Update(bytes);
    const absl::Duration now = base::SystemClock().Monotonic();
    if (now - told_at < kSignOfLife) return;
    told_at = now;
    // When it breaks, the token ends the reading.
    call.Write(stream, busy);
  };
  engine::InspectedFile inspected;
  {
    HISTEQ_ASSIGN_OR_RETURN(const auto permit, EnterWork(call));
    HISTEQ_ASSIGN_OR_RETURN(inspected, engine::Inspect(*reader.source, limits, call.token(), seen));
  }
  inspected.sha256 = store::ToBytes(digest.Digest());
  inspected.modify_time = stamp.modify_time;
  record.bytes_in = inspected.size_bytes;
  v1::ProcessImageResponse response;
  v1::ProcessImageResponse::Finish& finish = *response.mutable_finish();
  finish.set_format(static_cast<v1::ImageFormat>(inspected.info.format));
  *finish.mutable_inspected() = rpc::ToProto(inspected);
  if (call.Write(stream, response)) return absl::OkStatus();
  HISTEQ_RETURN_IF_ERROR(call.Broken());
  return absl::CancelledError("the caller has gone");
}

grpc::Status GrpcWorkerService::ReadFile(grpc::ServerContext* context,
                                         const v1::ReadFileRequest* request,
                                         grpc::ServerWriter<v1::ReadFileResponse>* stream) {
  return Serve("file_read", *context, [&](ServedCall& call, Record& record) {
    return ReadStored(call, *request, *stream, record);
  });
}

absl::Status GrpcWorkerService::ReadStored(ServedCall& call, const v1::ReadFileRequest& request,
                                           grpc::ServerWriter<v1::ReadFileResponse>& stream,
                                           Record& record) {
  const v1::WorkContext& context = request.context();
  record.work = {.job_id = context.job_id().substr(0, 255),
                 .epoch = context.epoch(),
                 .segment = 0,
                 .coordinator = context.coordinator().substr(0, 255)};
  HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                          file_reads_.Enter([&] { return call.token().cancelled(); }));
  HISTEQ_ASSIGN_OR_RETURN(store::RootedFile file, OpenStored(storage_, request));
  v1::ReadFileResponse response;
  response.mutable_header()->set_size_bytes(file.stamp().size_bytes);
  *response.mutable_header()->mutable_modify_time() = rpc::ToProto(file.stamp().modify_time);
  HISTEQ_ASSIGN_OR_RETURN(
      const store::BlobReader reader,
      store::ReadRange(std::move(file),
                       {.offset = request.offset(), .limit = 0, .expected_blob_bytes = {}}));
  bool open = call.Write(stream, response);
  while (open) {
    v1::Chunk& chunk = *response.mutable_chunk();
    std::string& data = *chunk.mutable_data();
    data.resize(rpc::kChunkBytes);
    HISTEQ_ASSIGN_OR_RETURN(
        const size_t got,
        reader.source->Read({reinterpret_cast<uint8_t*>(data.data()), data.size()}));
    if (got == 0) return absl::OkStatus();
    data.resize(got);
    rpc::SealChunk(request.offset() + record.bytes_out, chunk);
    record.bytes_out += got;
    HISTEQ_RETURN_IF_ERROR(call.token().Check());
    open = call.Write(stream, response);
  }
  HISTEQ_RETURN_IF_ERROR(call.Broken());
  return absl::CancelledError("the caller has gone");
}

}  // namespace histeq::worker
