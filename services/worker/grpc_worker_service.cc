#include "grpc_worker_service.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "codec/image_info.h"
#include "engine/operation.h"
#include "engine/segment_work.h"
#include "engine/whole_image.h"
#include "fmt/format.h"
#include "grpc_worker_files.h"
#include "histeq/equalize.h"
#include "histeq/statistics.h"
#include "result_bytes.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/operation_convert.h"
#include "rpc/proto_convert.h"
#include "rpc/segment_convert.h"
#include "rpc/status.h"

namespace histeq::worker {
namespace {

// Rows between two looks at the token.
constexpr uint32_t kRowBatch = 64;
// A small image is a file of at most this size; larger ones come in segments.
constexpr uint64_t kMaxImageBytes = 64ull << 20;

absl::Status BadStream(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, what, {.reason = "BAD_STREAM"});
}

// The stream ended: because of one side, or before all was said.
absl::Status Ended(const ServedCall& call, const std::string& before) {
  HISTEQ_RETURN_IF_ERROR(call.Broken());
  return BadStream(fmt::format("the stream ended before {}", before));
}

Work WorkFromProto(const v1::WorkContext& context) {
  return {.job_id = context.job_id().substr(0, 255),
          .epoch = context.epoch(),
          .segment = context.segment(),
          .coordinator = context.coordinator().substr(0, 255)};
}

// Bytes whose number is known, in chunks.
class Incoming {
 public:
  // Chunks are checked and dropped.
  static Incoming Dropping(uint64_t size) {
    Incoming incoming;
    incoming.size_ = size;
    return incoming;
  }
  // Memory that is not set to zero first.
  static absl::StatusOr<Incoming> Create(uint64_t size) {
    Incoming incoming;
    incoming.size_ = size;
    incoming.bytes_.reset(new (std::nothrow) uint8_t[std::max<uint64_t>(size, 1)]);
    if (incoming.bytes_ == nullptr) {
      return base::MakeError(absl::StatusCode::kResourceExhausted,
                             fmt::format("no memory for {} bytes", size),
                             {.reason = "OUT_OF_MEMORY", .retry_after = absl::Seconds(1)});
    }
    return incoming;
  }

  absl::Status Add(const v1::Chunk& chunk) {
    HISTEQ_RETURN_IF_ERROR(rpc::CheckChunk(chunk, filled_));
    const std::span<const uint8_t> bytes = rpc::BytesOf(chunk);
    if (bytes.size() > size_ - filled_) {
      return base::MakeError(
          absl::StatusCode::kInvalidArgument,
          fmt::format("{} bytes or more, but the header says {}", filled_ + bytes.size(), size_),
          {.reason = "BAD_STREAM",
           .metadata = {{"limit", fmt::format("{}", size_)},
                        {"actual", fmt::format("{}", filled_ + bytes.size())}}});
    }
    if (bytes_ != nullptr && !bytes.empty()) {
      std::memcpy(bytes_.get() + filled_, bytes.data(), bytes.size());
    }
    filled_ += bytes.size();
    return absl::OkStatus();
  }

  bool complete() const { return filled_ == size_; }
  // After the half-close.
  absl::Status CheckComplete() const {
    if (complete()) return absl::OkStatus();
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the stream ended after {} of {} bytes", filled_, size_),
                           {.reason = "BAD_STREAM",
                            .metadata = {{"limit", fmt::format("{}", size_)},
                                         {"actual", fmt::format("{}", filled_)}}});
  }
  // Of Create.
  std::span<uint8_t> span() { return {bytes_.get(), size_}; }

 private:
  Incoming() = default;
  std::unique_ptr<uint8_t[]> bytes_;
  uint64_t size_ = 0;
  uint64_t filled_ = 0;
};

// Sends bytes, which begin at `offset` of all, in chunks; `message` is reused. False when the
// stream broke.
template <typename Stream, typename Message>
bool SendChunks(ServedCall& call, Stream& stream, std::span<const uint8_t> bytes, uint64_t offset,
                Message& message) {
  for (size_t at = 0; at < bytes.size();) {
    const std::span<const uint8_t> part =
        bytes.subspan(at, std::min(rpc::kChunkBytes, bytes.size() - at));
    v1::Chunk& chunk = *message.mutable_chunk();
    chunk.mutable_data()->assign(reinterpret_cast<const char*>(part.data()), part.size());
    rpc::SealChunk(offset + at, chunk);
    at += part.size();
    if (!call.Write(stream, message)) return false;
  }
  return true;
}

}  // namespace

GrpcWorkerService::GrpcWorkerService(Slots& slots, WorkThreads& threads, MappingCache& mappings,
                                     const store::StorageRoots& storage, base::Watchdog& watchdog,
                                     std::function<v1::WorkerInfo()> describe,
                                     const base::CancelToken& stop, Options options)
    : slots_(slots),
      threads_(threads),
      mappings_(mappings),
      storage_(storage),
      watchdog_(watchdog),
      describe_(std::move(describe)),
      stop_(stop),
      options_(options),
      file_reads_({.what = "reads of files",
                   .max_active = options.max_file_reads,
                   .max_waiting = options.max_waiting_file_reads}) {}

grpc::Status GrpcWorkerService::Serve(
    const char* what, grpc::ServerContext& context,
    const std::function<absl::Status(ServedCall& call, Record& record)>& work) {
  // A call that is ended from this side says less than a refusal.
  if (stop_.cancelled()) return rpc::ToGrpc(slots_.Take({}, 0).status());
  const absl::Duration begin = base::SystemClock().Monotonic();
  ServedCall call(watch_, watchdog_, options_.stall_timeout, context, stop_);
  Record record;
  const absl::Status status = work(call, record);
  std::string reason;
  if (const auto detail = base::GetErrorDetail(status)) reason = detail->reason;
  // Refusals, forgotten mappings and callers that leave are the daily business of a cluster.
  const bool daily = status.code() == absl::StatusCode::kCancelled || reason == "NO_SLOT" ||
                     reason == "MAPPING_UNKNOWN";
  rpc::LogEvent(
      status.ok() ? rpc::LogLevel::kInfo
                  : (daily ? rpc::LogLevel::kDebug : rpc::LogLevel::kWarning),
      what,
      {{"job", record.work.job_id},
       {"epoch", fmt::format("{}", record.work.epoch)},
       {"segment", fmt::format("{}", record.work.segment)},
       {"coordinator", record.work.coordinator},
       {"peer", context.peer()},
       {"bytes_in", fmt::format("{}", record.bytes_in)},
       {"bytes_out", fmt::format("{}", record.bytes_out)},
       {"duration_ms",
        fmt::format("{:.1f}", absl::ToDoubleMilliseconds(base::SystemClock().Monotonic() - begin))},
       {"code", status.ok() ? std::string() : absl::StatusCodeToString(status.code())},
       {"reason", reason},
       {"error", std::string(status.message())}});
  return rpc::ToGrpc(status);
}

absl::StatusOr<WorkThreads::Permit> GrpcWorkerService::EnterWork(const ServedCall& call) {
  if (options_.segment_delay > absl::ZeroDuration()) {
    HISTEQ_RETURN_IF_ERROR(call.token().WaitFor(options_.segment_delay));
  }
  return threads_.Enter(call.token());
}

grpc::Status GrpcWorkerService::AnalyzeSegment(
    grpc::ServerContext* context, grpc::ServerReader<v1::AnalyzeSegmentRequest>* stream,
    v1::AnalyzeSegmentResponse* response) {
  return Serve("segment_analyzed", *context, [&](ServedCall& call, Record& record) {
    return Analyze(call, *stream, *response, record);
  });
}

absl::Status GrpcWorkerService::Analyze(ServedCall& call,
                                        grpc::ServerReader<v1::AnalyzeSegmentRequest>& stream,
                                        v1::AnalyzeSegmentResponse& response, Record& record) {
  v1::AnalyzeSegmentRequest request;
  if (!call.Read(stream, request)) return Ended(call, "its header");
  if (!request.has_header()) return BadStream("the first message has no header");
  record.work = WorkFromProto(request.header().context());
  HISTEQ_ASSIGN_OR_RETURN(const rpc::ReceivedRows rows, rpc::FromProto(request.header()));
  const uint64_t statistics_bytes = Statistics::BytesFor(rows.parameters, rows.shape);
  // One message holds them, with some room for its frame.
  const uint64_t limit = rpc::kMaxMessageBytes - 1024;
  if (statistics_bytes > limit) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("these statistics take {} bytes; a message holds {}", statistics_bytes, limit),
        {.reason = "BAD_PARAMETER",
         .metadata = {{"limit", fmt::format("{}", limit)},
                      {"actual", fmt::format("{}", statistics_bytes)}},
         .field = "equalize.grid"});
  }
  HISTEQ_ASSIGN_OR_RETURN(const auto place,
                          slots_.Take(record.work, rows.sample_bytes + 2 * statistics_bytes));
  HISTEQ_ASSIGN_OR_RETURN(Incoming samples, Incoming::Create(rows.sample_bytes));
  while (call.Read(stream, request)) {
    if (!request.has_chunk()) return BadStream("a message after the header has no chunk");
    HISTEQ_RETURN_IF_ERROR(samples.Add(request.chunk()));
  }
  HISTEQ_RETURN_IF_ERROR(call.Broken());
  HISTEQ_RETURN_IF_ERROR(samples.CheckComplete());
  record.bytes_in = rows.sample_bytes;

  HISTEQ_ASSIGN_OR_RETURN(const auto permit, EnterWork(call));
  Statistics statistics = Statistics::Create(rows.parameters, rows.shape);
  if (!statistics.valid()) {
    return base::MakeError(absl::StatusCode::kResourceExhausted,
                           fmt::format("no memory for {} bytes of statistics", statistics_bytes),
                           {.reason = "OUT_OF_MEMORY", .retry_after = absl::Seconds(1)});
  }
  // What is visible of plane 0, which begins the segment.
  const uint64_t stride = codec::PlaneStride(rows.layout.planes.front());
  const uint32_t end =
      static_cast<uint32_t>(codec::VisiblePlaneRows(rows.layout, 0, rows.segment.rows));
  for (uint32_t row = 0; row < end; row += kRowBatch) {
    HISTEQ_RETURN_IF_ERROR(call.token().Check());
    AccumulateRows(rows.parameters, rows.shape,
                   {.data = samples.span().data() + row * stride,
                    .stride_bytes = static_cast<ptrdiff_t>(stride),
                    .rows = std::min(kRowBatch, end - row)},
                   rows.segment.first_row + row, statistics);
  }
  const std::span<const uint64_t> words = statistics.words();
  std::string& bytes = *response.mutable_statistics();
  bytes.reserve((words.size() + 1) * sizeof(uint64_t));
  const uint64_t version = rpc::kStatisticsVersion;
  bytes.append(reinterpret_cast<const char*>(&version), sizeof(version));
  bytes.append(reinterpret_cast<const char*>(words.data()), words.size_bytes());
  record.bytes_out = bytes.size();
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::TransformSegment(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::TransformSegmentResponse, v1::TransformSegmentRequest>* stream) {
  return Serve("segment_transformed", *context,
               [&](ServedCall& call, Record& record) { return Transform(call, *stream, record); });
}

absl::Status GrpcWorkerService::Transform(
    ServedCall& call,
    grpc::ServerReaderWriter<v1::TransformSegmentResponse, v1::TransformSegmentRequest>& stream,
    Record& record) {
  v1::TransformSegmentRequest request;
  if (!call.Read(stream, request)) return Ended(call, "its header");
  if (!request.has_header()) return BadStream("the first message has no header");
  record.work = WorkFromProto(request.header().segment().context());
  const std::string mapping_id = request.header().mapping_id();
  if (mapping_id.size() != 32) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("mapping_id has {} bytes, and a SHA-256 has 32", mapping_id.size()),
        {.reason = "BAD_MAPPING", .field = "header.mapping_id"});
  }
  HISTEQ_ASSIGN_OR_RETURN(rpc::ReceivedSegment segment, rpc::FromProto(request.header()));
  const ImageShape shape = engine::ShapeOf(segment.spec.layout, segment.spec.encode.height);
  HISTEQ_ASSIGN_OR_RETURN(std::shared_ptr<const Mapping> mapping,
                          mappings_.Find(mapping_id, segment.spec.parameters, shape));
  const uint64_t mapping_bytes = Mapping::BytesFor(segment.spec.parameters, shape);
  // The samples, about as much for the fragment; the mapping as it arrives and as it is kept.
  HISTEQ_ASSIGN_OR_RETURN(
      const auto place,
      slots_.Take(record.work, 2 * segment.sample_bytes + (mapping ? 0 : 2 * mapping_bytes)));

  std::optional<Incoming> samples;
  std::optional<Incoming> tables;
  while (call.Read(stream, request)) {
    if (request.has_mapping() && !samples.has_value()) {
      if (request.mapping().size_bytes() != mapping_bytes) {
        return base::MakeError(absl::StatusCode::kInvalidArgument,
                               fmt::format("a mapping of {} bytes; one for this image has {}",
                                           request.mapping().size_bytes(), mapping_bytes),
                               {.reason = "BAD_MAPPING", .field = "mapping.size_bytes"});
      }
      if (!tables.has_value() && mapping != nullptr) {
        // Held already: its memory was not taken.
        tables = Incoming::Dropping(mapping_bytes);
      } else if (!tables.has_value()) {
        HISTEQ_ASSIGN_OR_RETURN(tables, Incoming::Create(mapping_bytes));
      }
      HISTEQ_RETURN_IF_ERROR(tables->Add(request.mapping().chunk()));
      if (tables->complete() && mapping == nullptr) {
        HISTEQ_ASSIGN_OR_RETURN(
            mapping, mappings_.Add(mapping_id, segment.spec.parameters, shape, tables->span()));
      }
      continue;
    }
    if (!request.has_chunk()) return BadStream("a message is neither a mapping nor a chunk");
    if (tables.has_value() && !tables->complete()) return tables->CheckComplete();
    if (mapping == nullptr) break;
    if (!samples.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(samples, Incoming::Create(segment.sample_bytes));
    }
    HISTEQ_RETURN_IF_ERROR(samples->Add(request.chunk()));
  }
  HISTEQ_RETURN_IF_ERROR(call.Broken());
  if (tables.has_value()) HISTEQ_RETURN_IF_ERROR(tables->CheckComplete());
  if (mapping == nullptr) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition,
                           "the worker does not hold this mapping; send it with the segment",
                           {.reason = "MAPPING_UNKNOWN", .field = "header.mapping_id"});
  }
  if (!samples.has_value()) {
    HISTEQ_ASSIGN_OR_RETURN(samples, Incoming::Create(segment.sample_bytes));
  }
  HISTEQ_RETURN_IF_ERROR(samples->CheckComplete());
  record.bytes_in = segment.sample_bytes;
  tables.reset();

  segment.spec.mapping = std::move(mapping);
  absl::StatusOr<codec::Fragment> fragment = absl::UnknownError("not made");
  {
    HISTEQ_ASSIGN_OR_RETURN(const auto permit, EnterWork(call));
    fragment =
        engine::TransformSegment(segment.spec, segment.segment, samples->span(), call.token());
  }
  HISTEQ_RETURN_IF_ERROR(fragment.status());
  samples.reset();

  v1::TransformSegmentResponse response;
  response.mutable_header()->set_fragment_bytes(fragment->bytes.size());
  response.mutable_header()->set_adler32(fragment->adler32);
  response.mutable_header()->set_raw_bytes(fragment->raw_bytes);
  if (!call.Write(stream, response) || !SendChunks(call, stream, fragment->bytes, 0, response)) {
    return Ended(call, "the fragment was sent");
  }
  record.bytes_out = fragment->bytes.size();
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::ProcessImage(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>* stream) {
  return Serve("image_processed", *context,
               [&](ServedCall& call, Record& record) { return Process(call, *stream, record); });
}

absl::Status GrpcWorkerService::Process(
    ServedCall& call,
    grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>& stream,
    Record& record) {
  v1::ProcessImageRequest request;
  if (!call.Read(stream, request)) return Ended(call, "its header");
  if (!request.has_header()) return BadStream("the first message has no header");
  const v1::ProcessImageRequest::Header header = request.header();
  record.work = WorkFromProto(header.context());
  HISTEQ_ASSIGN_OR_RETURN(const engine::Operation operation,
                          rpc::OperationFromProto(header.operation()));
  if (operation.reads_reference) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "a worker reads no stored images: send the histogram",
        {.reason = "BAD_PARAMETER", .field = "operation.equalize.reference_image_id"});
  }
  const codec::DecodeLimits limits = rpc::LimitsOf(header);
  std::optional<store::RootedFile> stored;
  if (!header.location().empty()) {
    // Whatever the file system does: this worker does not hang.
    v1::ProcessImageResponse heard;
    heard.mutable_chunk();
    if (!call.Write(stream, heard)) return Ended(call, "it was answered");
    absl::StatusOr<store::RootedFile> opened = OpenStored(storage_, header);
    HISTEQ_RETURN_IF_ERROR(opened.status());
    stored.emplace(*std::move(opened));
    if (header.max_file_bytes() > 0) {
      HISTEQ_RETURN_IF_ERROR(
          store::CheckFileSize(stored->stamp().size_bytes, header.max_file_bytes()));
    }
  }
  if (operation.kind == engine::Operation::Kind::kInspect) {
    if (!stored.has_value()) return BadStream("a file is inspected where it lies");
    return ProcessInspect(call, stream, *std::move(stored), limits, record);
  }
  if (stored.has_value() && stored->stamp().size_bytes > kMaxImageBytes) return TooLargeHere();
  const uint64_t size_bytes = stored.has_value() ? stored->stamp().size_bytes : header.size_bytes();
  if (size_bytes == 0 || size_bytes > kMaxImageBytes) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("a file of {} bytes; whole images have 1 to {}", size_bytes, kMaxImageBytes),
        {.reason = "BAD_STREAM",
         .metadata = {{"limit", fmt::format("{}", kMaxImageBytes)},
                      {"actual", fmt::format("{}", size_bytes)}},
         .field = "header.size_bytes"});
  }

  // The file, and a result that is about as long; a longer one takes more as it grows.
  HISTEQ_ASSIGN_OR_RETURN(const auto place, slots_.Take(record.work, 2 * size_bytes));
  HISTEQ_ASSIGN_OR_RETURN(Incoming file, Incoming::Create(size_bytes));
  if (stored.has_value()) {
    HISTEQ_RETURN_IF_ERROR(ReadWhole(*stored, header.sha256(), file.span()));
  } else {
    while (call.Read(stream, request)) {
      if (!request.has_chunk()) return BadStream("a message after the header has no chunk");
      HISTEQ_RETURN_IF_ERROR(file.Add(request.chunk()));
    }
    HISTEQ_RETURN_IF_ERROR(call.Broken());
    HISTEQ_RETURN_IF_ERROR(file.CheckComplete());
  }
  record.bytes_in = size_bytes;

  base::MemorySource head(file.span());
  HISTEQ_ASSIGN_OR_RETURN(const codec::ImageInfo info, codec::ProbeImage(head, limits));
  if (stored.has_value()) {
    // Three channels where a palette becomes colours.
    const uint64_t samples = uint64_t{info.width} * info.height * std::max(3u, info.channels) *
                             (info.bits_per_sample > 8 ? 2 : 1);
    if (samples > kMaxImageBytes) return TooLargeHere();
  }
  HISTEQ_ASSIGN_OR_RETURN(const uint64_t work_bytes, engine::WholeImageBytes(operation, info));
  HISTEQ_RETURN_IF_ERROR(place->Grow(work_bytes));

  ResultBytes file_out(*place, size_bytes);
  absl::StatusOr<engine::JobResult> result = absl::UnknownError("not made");
  {
    HISTEQ_ASSIGN_OR_RETURN(const auto permit, EnterWork(call));
    result = engine::RunWholeImage(file.span(), file_out, operation, limits, call.token());
  }
  HISTEQ_RETURN_IF_ERROR(result.status());

  v1::ProcessImageResponse response;
  bool open = true;
  uint64_t sent = 0;
  for (const std::vector<uint8_t>& block : file_out.blocks()) {
    open = open && SendChunks(call, stream, block, sent, response);
    sent += block.size();
  }
  if (open) {
    v1::ProcessImageResponse::Finish& finish = *response.mutable_finish();
    finish.set_size_bytes(file_out.size());
    finish.set_format(static_cast<v1::ImageFormat>(info.format));
    finish.mutable_result_bytes()->Assign(result->result_bytes.begin(), result->result_bytes.end());
    if (result->statistics.has_value()) {
      *finish.mutable_statistics() = rpc::ToProto(*result->statistics);
    }
    open = call.Write(stream, response);
  }
  if (!open) return Ended(call, "the result was sent");
  record.bytes_out = file_out.size();
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::GetStatus(grpc::ServerContext*, const v1::WorkerGetStatusRequest*,
                                          v1::WorkerGetStatusResponse* response) {
  *response->mutable_worker() = describe_();
  for (const Work& work : slots_.Working()) {
    v1::WorkContext& context = *response->add_work();
    context.set_job_id(work.job_id);
    context.set_epoch(work.epoch);
    context.set_segment(work.segment);
    context.set_coordinator(work.coordinator);
  }
  return grpc::Status::OK;
}

}  // namespace histeq::worker
